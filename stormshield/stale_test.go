package stormshield_test

import (
	"strings"
	"testing"
	"time"

	"notification-stormshield/appliance"
)

// A session sees the objects as they were when it was opened. An edit of a flush that was cut may end after that.
func TestTheGroupIsNamedInASessionThatIsYoungerThanTheFiles(t *testing.T) {
	t.Parallel()
	h := start(t)
	all := addresses(3)
	h.MustFlush(all, nil, true)
	ended, inForce := all[0], all[1:]
	delete(h.InForce, ended)
	othersEdit := func() error {
		for _, file := range []string{"object", "objectgroup"} {
			err := h.Sim.AdminEdit(file, func(text []byte) []byte {
				var kept []string
				for line := range strings.Lines(string(text)) {
					if !strings.HasPrefix(line, "crowdsec_ip_3323068416") { // 198.18.0.0
						kept = append(kept, line)
					}
				}
				return []byte(strings.Join(kept, ""))
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	done, err := h.Client.Apply(t.Context(), appliance.Change{
		Pending: appliance.Pending{
			Block:   []appliance.Ban{{Prefix: inForce[0], Until: time.Now().Add(time.Hour)}}, // opens the session
			Unblock: all[:1], Remove: all[:1], InForce: len(inForce),
		},
		Files: true, Reassert: true, Begin: begun, BeginFiles: othersEdit, AllInForce: h.AllInForce,
	})
	if err != nil || done.Asserted.IsZero() {
		t.Fatalf("the flush did %+v, and returned %v", done, err)
	}
	h.WantInForce()
}
