package torture

import (
	"errors"
	"strconv"
	"time"
)

// siteOutage is a kind of trouble of machines that share their state. At its end everything runs again.
type siteOutage struct {
	name  string
	cause func(*site)
}

// siteOutages are drawn in turn.
var siteOutages = []siteOutage{
	{"PostgreSQL is stopped", func(s *site) {
		s.must(s.state.Stop())
		s.checkAlone("PostgreSQL is stopped")
		s.meanwhile()
		s.must(s.state.Start())
	}},
	{"PostgreSQL is killed", func(s *site) {
		s.must(s.state.Kill())
		s.checkAlone("PostgreSQL is killed")
		s.meanwhile()
		s.must(s.state.Start())
	}},
	{"PostgreSQL is silent", func(s *site) {
		s.must(s.state.Suspend())
		s.meanwhile()
		s.must(s.state.Resume())
	}},
	{"PostgreSQL is killed again and again", func(s *site) {
		for range 2 + s.random.IntN(3) {
			s.must(errors.Join(s.state.Kill(), s.state.Start()))
			s.change()
			s.pauseUpTo(6 * time.Second)
		}
	}},
	{"a machine is cut from PostgreSQL", func(s *site) {
		i := s.random.IntN(2)
		s.must(s.machines[i].network.cut(s.ctx, true))
		s.change()
		s.checkBanOf(1-i, takeover, "machine "+strconv.Itoa(i)+" is cut from PostgreSQL")
		s.meanwhile()
		s.must(s.machines[i].network.cut(s.ctx, false))
	}},
	{"both machines are cut from PostgreSQL", func(s *site) {
		for _, m := range s.machines {
			s.must(m.network.cut(s.ctx, true))
			s.pauseUpTo(3 * time.Second)
		}
		s.meanwhile()
		for _, m := range s.machines {
			s.must(m.network.cut(s.ctx, false))
			s.pauseUpTo(3 * time.Second)
		}
	}},
	{"a machine is cut from PostgreSQL again and again", func(s *site) {
		for range 2 + s.random.IntN(3) {
			m := s.machines[s.random.IntN(2)]
			s.must(m.network.cut(s.ctx, true))
			s.pauseUpTo(8 * time.Second)
			s.must(m.network.cut(s.ctx, false))
			s.change()
			s.pauseUpTo(4 * time.Second)
		}
	}},
	{"a machine vanishes", func(s *site) {
		i := s.random.IntN(2)
		m := s.machines[i]
		s.must(m.network.cut(s.ctx, true))
		m.network.cutBridges(true)
		s.checkBanOf(1-i, takeover, "machine "+strconv.Itoa(i)+" vanished")
		s.meanwhile()
		m.network.cutBridges(false)
		s.must(m.network.cut(s.ctx, false))
	}},
	{"a plugin is killed", func(s *site) {
		i := s.random.IntN(2)
		m := s.machines[i]
		m.stop()
		s.checkBanOf(1-i, soon+5*time.Second, "the plugin of machine "+strconv.Itoa(i)+" is killed")
		s.meanwhile()
		s.must(m.start())
	}},
	{"both plugins are killed", func(s *site) {
		for _, m := range s.machines {
			m.stop()
			s.pauseUpTo(time.Second)
		}
		s.meanwhile()
		for _, m := range s.machines {
			s.must(m.start())
			s.pauseUpTo(time.Second)
		}
	}},
	{"plugins are killed while PostgreSQL is stopped", func(s *site) {
		s.must(s.state.Stop())
		s.change()
		for range 1 + s.random.IntN(2) {
			m := s.machines[s.random.IntN(2)]
			s.pauseUpTo(4 * time.Second)
			m.stop()
			s.change()
			s.must(m.start())
		}
		s.meanwhile()
		s.must(s.state.Start())
	}},
	{"a plugin is killed in a flush", func(s *site) {
		for range 2 {
			m := s.machines[s.random.IntN(2)]
			s.ban(s.random.IntN(2), long, true, s.draw(20)...)
			s.pauseUpTo(2 * time.Second)
			m.stop()
			s.pauseUpTo(8 * time.Second)
			s.must(m.start())
		}
	}},
	{"a machine cannot reach the appliance and its Local API", func(s *site) {
		m := s.machines[s.random.IntN(2)]
		m.network.cutBridges(true)
		s.meanwhile()
		m.network.cutBridges(false)
	}},
	{"PostgreSQL comes back from a backup", func(s *site) {
		s.meanwhile()
		s.pause(time.Until(s.backedUp.Add(seenBackup)))
		s.must(s.state.Kill())
		s.meanwhile()
		s.forgive()
		s.must(s.state.Restore(strconv.Itoa(s.backups)))
	}},
}

// meanwhile changes bans, for some seconds or for half a minute.
func (s *site) meanwhile() {
	s.Helper()
	most := 8 * time.Second
	if s.random.IntN(5) == 0 {
		most = 40 * time.Second
	}
	s.change()
	s.pauseUpTo(most)
	s.change()
}
