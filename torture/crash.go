package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"notification-stormshield/stormshield/snstest"
)

// steps counts what a flush does on the appliance, and kills the plugin right
// before the step that it is set to: a command of the API, or a tool that the
// appliance's shell runs.
type steps struct {
	dir string
}

// tools are those that the plugin's shell program runs.
var tools = []string{"ln", "cp", "tail", "awk", "cksum", "sync", "mv", "rm", "cat", "mkdir"}

// plant puts a program in the place of each tool, which counts and then runs
// the tool.
func plant(dir string) (*steps, map[string]string, error) {
	s := &steps{dir}
	in := map[string]string{}
	for _, tool := range tools {
		program, err := exec.LookPath(tool)
		if err != nil {
			return s, nil, err
		}
		in[tool] = filepath.Join(dir, tool)
		script := fmt.Sprintf("#!/bin/sh\nprintf . >> %[1]s/steps\nif read -r at pid < %[1]s/armed && test $(/usr/bin/wc -c < %[1]s/steps) -eq $at; then kill -9 $pid; fi 2> /dev/null\nexec %[2]s \"$@\"\n", dir, program)
		if err := os.WriteFile(in[tool], []byte(script), 0o755); err != nil {
			return s, nil, err
		}
	}
	return s, in, s.arm(0, 0)
}

// arm has a process killed right before the step of a number, counted from now
// on.
func (s *steps) arm(at, pid int) error {
	if err := os.WriteFile(filepath.Join(s.dir, "steps"), nil, 0o666); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.dir, "armed"), fmt.Appendf(nil, "%d %d\n", at, pid), 0o666)
}

// taken counts a step that is no tool, and tells whether it is the one.
func (s *steps) taken() bool {
	file, err := os.OpenFile(filepath.Join(s.dir, "steps"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return false
	}
	defer file.Close()
	_, _ = file.WriteString(".")
	info, err := file.Stat()
	if err != nil {
		return false
	}
	var at, pid int
	armed, _ := os.ReadFile(filepath.Join(s.dir, "armed"))
	_, _ = fmt.Sscan(string(armed), &at, &pid)
	return at > 0 && info.Size() == int64(at)
}

// count returns how many steps were taken since arm.
func (s *steps) count() int {
	info, err := os.Stat(filepath.Join(s.dir, "steps"))
	if err != nil {
		return 0
	}
	return int(info.Size())
}

func (s *steps) remove() { _ = os.RemoveAll(s.dir) }

// crashWorld makes a world in which the steps of a flush are counted.
func crashWorld(ctx context.Context, t *trial) (*world, *steps, error) {
	dir, err := os.MkdirTemp("", "stormshield-steps-")
	if err != nil {
		return nil, nil, err
	}
	s, in, err := plant(dir)
	if err != nil {
		s.remove()
		return nil, nil, err
	}
	w, err := newWorld(ctx, t, func(o *snstest.Options) { o.Tools = in })
	if err != nil {
		s.remove()
		return nil, nil, err
	}
	w.appliance.SetFaults(func(f *snstest.Faults) {
		f.Answer = func(string) (int, int) {
			if s.taken() {
				w.kill()
			}
			return 0, 0
		}
	})
	return w, s, nil
}

// lastStep is about how many steps a flush has.
const lastStep = 45

// crashPoints kills the plugin at a step of a flush, or at any moment of it,
// again and again, while bans come and end.
func crashPoints(ctx context.Context, t *trial) error {
	w, s, err := crashWorld(ctx, t)
	if err != nil {
		return err
	}
	defer s.remove()
	defer w.end()
	w.way()
	w.mustBan(ctx, long, w.truth.fresh(w.random, 30)...)
	if err := w.settle(ctx); err != nil {
		return err
	}
	for range 4 {
		if err := w.crash(ctx, s); err != nil {
			return err
		}
		if err := w.settle(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) crash(ctx context.Context, s *steps) error {
	byStep := w.random.IntN(3) > 0
	if byStep {
		if err := s.arm(1+w.random.IntN(lastStep), w.plugin.PID()); err != nil {
			return err
		}
	}
	w.killed = true // from here on it may be
	n := 1 + w.random.IntN(4)
	if w.random.IntN(2) == 0 {
		n += 30
	}
	_ = w.ban(ctx, long, w.truth.fresh(w.random, n)...) // killed meanwhile, it may not answer
	_ = w.ban(ctx, time.Duration(1+w.random.IntN(4))*time.Second, w.truth.fresh(w.random, 1+w.random.IntN(20))...)
	patience := time.Duration(w.random.IntN(1500)) * time.Millisecond
	if byStep {
		patience += 2 * time.Second
	}
	for end := time.Now().Add(patience); time.Now().Before(end) && !w.plugin.Exited(); {
		if err := pause(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
	w.kill()
	if err := s.arm(0, 0); err != nil {
		return err
	}
	if err := w.restart(ctx); err != nil {
		return err
	}
	w.mustBan(ctx, long, w.truth.fresh(w.random, 1)...)
	return nil
}
