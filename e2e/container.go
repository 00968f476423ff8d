package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
)

// container is a service of compose.yaml in namespaces of its own, with the machine's network. Its root folder is what an engine
// makes from the image, and its mounts are those that compose.yaml names.
type container struct {
	*process      // process 1 of the container; nil before start
	root          string
	service       service
	mounts        []mount
	environment   []string
	userNamespace string // as a path
}

// newContainer makes a container of a service. It starts nothing.
func (p *project) newContainer(t testing.TB, name, root string) *container {
	t.Helper()
	s, found := p.Services[name]
	if !found {
		t.Fatalf("compose.yaml has no service %s", name)
	}
	c := &container{root: root, service: s, mounts: p.mountsOf(t, name), userNamespace: p.userNamespace}
	c.environment = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}
	for name, value := range s.Environment {
		c.environment = append(c.environment, name+"="+value)
	}
	return c
}

// newUserNamespace makes a user namespace whose users have the numbers of this machine's. It returns a path of the namespace. The test
// ends it.
func newUserNamespace(t testing.TB) string {
	t.Helper()
	holder := exec.CommandContext(t.Context(), "cat") // the namespace needs a process
	same := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1 << 16}}
	holder.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER, UidMappings: same, GidMappings: same, GidMappingsEnableSetgroups: true,
	}
	input, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatalf("make a user namespace: %v (hint: the suite needs CAP_SYS_ADMIN, a seccomp profile that allows clone with CLONE_NEWUSER, "+
			"and a number above 0 in /proc/sys/user/max_user_namespaces)", err)
	}
	t.Cleanup(func() {
		input.Close()
		_ = holder.Wait()
	})
	return fmt.Sprintf("/proc/%d/ns/user", holder.Process.Pid)
}

// capabilities are those that Docker gives to root in a container.
const capabilities = "--bounding-set=-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+net_raw," +
	"+sys_chroot,+mknod,+audit_write,+setfcap"

// runInContainer runs a program in a root folder. The caller makes the mount and PID namespaces, and gives: the root folder, the user
// namespace, ro or rw for the root folder, then source, target, and ro or rw of each mount, --, and the program. As an engine does,
// the script makes each mount point that is missing. The program cannot change the mounts, because its user namespace does not
// own them.
const runInContainer = `set -e
umask 022
root=$1 namespace=$2 access=$3
shift 3
mount --bind "$root" "$root"
mkdir -p "$root/proc" "$root/dev"
mount -t proc none "$root/proc"
mount -t tmpfs -o mode=0755 none "$root/dev"
for device in null urandom; do
	touch "$root/dev/$device"
	mount --bind "/dev/$device" "$root/dev/$device"
done
while [ "$1" != -- ]; do
	if [ -z "$1" ]; then
		mkdir -p "$root$2"
		mount -t tmpfs -o mode=1777,nosuid,nodev,noexec none "$root$2"
	else
		if [ -d "$1" ]; then
			mkdir -p "$root$2"
		elif [ ! -e "$root$2" ]; then
			install -D -m 0755 /dev/null "$root$2"
		fi
		mount --bind "$1" "$root$2"
		mount -o "remount,bind,$3" "$root$2"
	fi
	shift 3
done
shift
mount -o "remount,bind,$access" "$root"
exec nsenter --user="$namespace" setpriv ` + capabilities + ` chroot "$root" "$@"`

// run returns a command that starts the container with a program as its process 1, as with `docker compose run`. All processes of the
// container end with it.
func (c *container) run(ctx context.Context, words ...string) *exec.Cmd {
	access := map[bool]string{true: "ro", false: "rw"}
	arguments := []string{"-c", runInContainer, "sh", c.root, c.userNamespace, access[c.service.ReadOnly]}
	for _, m := range c.mounts {
		arguments = append(arguments, m.source, m.target, access[m.readOnly])
	}
	arguments = append(append(arguments, "--"), words...)
	cmd := exec.CommandContext(ctx, "/bin/sh", arguments...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Cloneflags: syscall.CLONE_NEWPID}
	cmd.Env = c.environment
	return cmd
}

// start starts the container with a program as its process 1.
func (c *container) start(t testing.TB, folder, name string, words ...string) {
	t.Helper()
	c.process = start(t, folder, name, c.run(t.Context(), words...))
}

// command returns a command that runs in the running container, as with `docker compose exec`.
func (c *container) command(ctx context.Context, words ...string) *exec.Cmd {
	arguments := []string{
		"--target", strconv.Itoa(c.cmd.Process.Pid), "--user", "--mount", "--pid", "--root", "--wd",
		"setpriv", capabilities,
	}
	cmd := exec.CommandContext(ctx, "nsenter", append(arguments, words...)...)
	cmd.Env = c.environment
	return cmd
}
