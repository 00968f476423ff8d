package snstest_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"notification-stormshield/stormshield/snstest"
)

func TestRefusedPortsOpenAgainWithTheSameNumber(t *testing.T) {
	a := snstest.Start(t)
	c, client := connect(t, a), connectSSH(t, a)
	a.SetFaults(func(f *snstest.Faults) { f.SSHRefuse, f.APIRefuse = true, true })
	if _, err := c.do("GET", "/api/command?sessionid="+c.session+"&cmd=NOP", nil); err == nil {
		t.Error("the API still answers")
	}
	if _, err := client.NewSession(); err == nil {
		t.Error("the SSH connection was not cut")
	}
	for _, port := range []int{a.SSHPort(), a.APIPort()} {
		conn, err := net.Dial("tcp", net.JoinHostPort(a.Host(), strconv.Itoa(port)))
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("error %v, want connection refused", err)
		}
		if err == nil {
			conn.Close()
		}
	}
	a.SetFaults(func(f *snstest.Faults) { f.SSHRefuse, f.APIRefuse = false, false })
	c.want(100, "NOP")
	connectSSH(t, a)
}

func TestHangingServersContinueWhenTheFaultEnds(t *testing.T) {
	t.Parallel()
	a := snstest.Start(t)
	c, client := connect(t, a), connectSSH(t, a)
	a.SetFaults(func(f *snstest.Faults) { f.SSHHang, f.APIHang = true, true })

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(a.Host(), strconv.Itoa(a.SSHPort())))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a hanging SSH server said %d bytes, %v", n, err)
	}
	quick := *c.http
	quick.Timeout = 100 * time.Millisecond
	if response, err := quick.Get(c.url("/api/command?sessionid=" + c.session + "&cmd=NOP")); err == nil {
		response.Body.Close()
		t.Error("a hanging API answered")
	}

	var both sync.WaitGroup
	both.Go(func() {
		if d, err := c.do("GET", "/api/command?sessionid="+c.session+"&cmd=NOP", nil); err != nil || d.ret() != 100 {
			t.Errorf("API after the hang: %v", err)
		}
	})
	both.Go(func() {
		session, err := client.NewSession()
		if err != nil {
			t.Error(err)
			return
		}
		if out, err := session.Output("echo back"); err != nil || string(out) != "back\n" {
			t.Errorf("SSH after the hang: %q, %v", out, err)
		}
	})
	eventually(t, "both requests hang", func() bool {
		s := a.Stats()
		return s.SSHCommandCount == 1 && s.APIRequests >= 4
	})
	a.SetFaults(func(f *snstest.Faults) { *f = snstest.Faults{} })
	both.Wait()
}

func TestCloseEndsAHang(t *testing.T) {
	a, err := snstest.New(snstest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := connect(t, a)
	a.SetFaults(func(f *snstest.Faults) { f.SSHHang, f.APIHang = true, true })
	ended := make(chan error, 2)
	go func() {
		_, err := c.do("GET", "/api/command?sessionid="+c.session+"&cmd=NOP", nil)
		ended <- err
	}()
	go func() {
		_, err := dialSSH(a, sshConfig(a))
		ended <- err
	}()
	eventually(t, "both hang", func() bool { s := a.Stats(); return s.APIRequests == 3 && s.SSHConnections == 1 })
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := <-ended; err == nil {
			t.Error("a request was answered")
		}
	}
}

func TestCutAfterUploadLeavesTheFirstBytes(t *testing.T) {
	a := snstest.Start(t)
	a.SetFaults(func(f *snstest.Faults) { f.SSHCutAfterUpload = 100_000 })
	client := connectSSH(t, a)
	r := runSSH(t, client, "cat > half; echo done > after", strings.NewReader(strings.Repeat("x", 200_000)))
	if r.status != -1 {
		t.Errorf("the command's status came through: %+v", r)
	}
	eventually(t, "the command goes on", func() bool {
		_, err := os.Stat(filepath.Join(a.Dir(), "after"))
		return err == nil
	})
	if info, err := os.Stat(filepath.Join(a.Dir(), "half")); err != nil || info.Size() != 100_000 {
		t.Errorf("the cut file: %v, %v; want 100,000 bytes", info, err)
	}
}

func TestDelayHoldsBackCommands(t *testing.T) {
	t.Parallel()
	a := snstest.Start(t)
	c, client := connect(t, a), connectSSH(t, a)
	a.SetFaults(func(f *snstest.Faults) { f.Delay = 80 * time.Millisecond })
	for name, step := range map[string]func(){
		"API": func() { c.want(100, "NOP") },
		"SSH": func() { runSSH(t, client, "true", nil) },
	} {
		start := time.Now()
		step()
		if took := time.Since(start); took < 80*time.Millisecond {
			t.Errorf("%s took %v", name, took)
		}
	}
}

func TestACommandRunsBeforeItsAnswerIsMalformedOrCut(t *testing.T) {
	for name, fault := range map[string]func(*snstest.Faults){
		"malformed": func(f *snstest.Faults) { f.MalformedXML = true },
		"truncated": func(f *snstest.Faults) { f.TruncateBody = true },
	} {
		a := snstest.Start(t)
		c := monitor(t, a)
		a.SetFaults(fault)
		_, err := c.do("GET", "/api/command?sessionid="+c.session+"&cmd=MONITOR%20ADDRESSLIST%20ADD%20Type=BlackList%20Name1=192.0.2.1%20Timeout=60", nil)
		if err == nil {
			t.Errorf("%s: the answer is fine", name)
		}
		wantSources(t, a, "192.0.2.1/32")
	}
}

func TestTheFaultAPIStatusSetsTheHTTPStatus(t *testing.T) {
	a := snstest.Start(t)
	c := connect(t, a)
	a.SetFaults(func(f *snstest.Faults) { f.APIStatus = 503 })
	if _, err := c.do("GET", "/api/command?sessionid="+c.session+"&cmd=NOP", nil); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("error %v", err)
	}
}

func TestFaultsSetTheRootCodeAndTheRet(t *testing.T) {
	a := snstest.Start(t)
	c := monitor(t, a)
	for _, code := range []int{203, 204, 205, 500, 501, 502, 900} {
		a.SetFaults(func(f *snstest.Faults) { f.RootCode = code })
		if d := c.run("NOP"); d.Code != code || len(d.Serverd) != 0 {
			t.Errorf("root code %d, want %d", d.Code, code)
		}
	}
	for _, ret := range []int{110, 111, 200, 203, 204, 205, 206} {
		a.SetFaults(func(f *snstest.Faults) {
			*f = snstest.Faults{Ret: map[string]int{"MONITOR ADDRESSLIST ADD": ret, "": 100}}
		})
		address := fmt.Sprintf("192.0.2.%d", ret)
		if d := c.block(address, 60); d.ret() != ret {
			t.Errorf("ret %d, want %d", d.ret(), ret)
		}
		if got := a.Blocked(addr(address)); got != (ret < 200) {
			t.Errorf("ret %d: blocked is %v", ret, got)
		}
		c.want(100, "NOP")
	}
	a.SetFaults(func(f *snstest.Faults) {
		f.Answer = func(command string) (int, int) {
			if strings.Contains(command, "Name1=198.51.100.") {
				return 0, 206
			}
			return 0, 0
		}
	})
	if got := c.block("198.51.100.9", 60).ret(); got != 206 {
		t.Errorf("ret %d, want 206", got)
	}
}

func TestSessionsExpireAfterSoManyCommands(t *testing.T) {
	a := snstest.Start(t)
	c := connect(t, a)
	a.SetFaults(func(f *snstest.Faults) { f.ExpireSessionAfter = 2 })
	c.want(100, "MODIFY MONITOR ON")
	c.want(100, "NOP")
	for _, code := range []int{204, 203} {
		if d := c.run("NOP"); d.Code != code {
			t.Errorf("code %d, want %d", d.Code, code)
		}
	}
	if held, _ := a.MonitorHeld(); held {
		t.Error("the expired session still holds its right")
	}
}

func TestALoginNeedsTheOneTimePasswordIfAFaultDemandsIt(t *testing.T) {
	a := snstest.Start(t)
	a.SetFaults(func(f *snstest.Faults) { f.NeedTOTP = true })
	c := newAPIClient(t, a)
	for _, attempt := range []struct{ password, totp, message string }{
		{a.Password(), "", "NEED_TOTP_AUTH"}, {"wrong", "", "AUTH_FAILED"}, {a.Password(), "111111", "AUTH_FAILED"},
		{a.Password(), "123456", "AUTH_SUCCESS"},
	} {
		if d := c.loginWith(a.User(), attempt.password, attempt.totp); d.Msg != attempt.message {
			t.Errorf("login %+v: message %s", attempt, d.Msg)
		}
	}
}

func TestFaultsCanChangeDuringRequests(t *testing.T) {
	a := snstest.Start(t)
	c := monitor(t, a)
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			for i := range 50 {
				if d := c.block(fmt.Sprintf("10.%d.0.%d", n, i), 60); d.ret() >= 200 && d.ret() != 205 {
					t.Errorf("ret %d", d.ret())
				}
			}
		})
	}
	all.Go(func() {
		for i := range 200 {
			a.SetFaults(func(f *snstest.Faults) {
				if f.Ret == nil {
					f.Ret = map[string]int{}
				}
				f.Ret["MONITOR"] = []int{0, 110, 205}[i%3]
			})
			_ = a.Faults().Ret["MONITOR"]
			_ = a.Blacklist()
			_ = a.Stats()
		}
	})
	all.Wait()
}

func TestAnotherSerialNumberIsAnotherAppliance(t *testing.T) {
	a := snstest.Start(t)
	serial := func() string {
		for _, key := range connect(t, a).want(100, "SYSTEM PROPERTY").Serverd[0].Data.Sections[0].Keys {
			if key.Name == "SerialNumber" {
				return key.Value
			}
		}
		return ""
	}
	c := monitor(t, a)
	c.block("192.0.2.1", 60)
	a.SetFaults(func(f *snstest.Faults) { f.Delay = 0 })
	if got := serial(); got != snstest.DefaultSerialNumber || a.BlacklistLen() != 1 {
		t.Errorf("before: serial number %q, %d entries on the blacklist", got, a.BlacklistLen())
	}
	a.SetFaults(func(f *snstest.Faults) { f.SerialNumber = "OTHER" })
	if d := c.run("NOP"); d.Code == 100 {
		t.Error("the session survived")
	}
	if got := serial(); got != "OTHER" || a.BlacklistLen() != 0 {
		t.Errorf("after: serial number %q, %d entries on the blacklist", got, a.BlacklistLen())
	}
	monitor(t, a).block("192.0.2.2", 60)
	a.SetFaults(func(f *snstest.Faults) { f.NoSerialNumber = true })
	if got := serial(); got != "" || a.BlacklistLen() != 1 {
		t.Errorf("without one: serial number %q, %d entries on the blacklist", got, a.BlacklistLen())
	}
}
