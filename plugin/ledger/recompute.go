package ledger

// recompute derives a ban from its decisions: its end, its class, and whether it is pending or waits.
func (t *transaction) recompute(b *storedBan) {
	before := *b
	if !b.summarize(t.now) {
		t.end(b)
		return
	}
	isWaiting := before.until == 0 && !b.isNew
	if isWaiting {
		if b.newest > before.newest || b.class < before.class {
			t.overtaking++
		}
		return // applyLimit compares it with the others
	}
	if hadEnded := before.until <= t.now; hadEnded && t.hasWaiting {
		b.until, b.pendingSince, b.look = 0, t.now, t.flush
		t.overtaking++
		return
	}
	if b.class > before.class || b.newest < before.newest {
		t.overtaking++
	}
	b.until = b.ends
	if b.next == b.ends {
		b.next = 0
	}
	if b.until == before.until {
		return
	}
	t.changed = true
	if before.until > t.soon {
		if b.until > before.until {
			t.recorded.Extended++
		}
		return
	}
	t.recorded.Added++
	b.makePending(t)
}

// makePending makes a ban pending that had ended or waited. The appliance may still have its entry, or a flush may be removing
// that entry at this moment. So the ban must be written, and needs an entry of its own.
func (b *storedBan) makePending(t *transaction) {
	b.change, b.pendingSince, b.look = t.number, t.now, t.flush
	if b.written != 0 || b.expires != 0 {
		b.expires = maybeBlocked
	}
	if b.written != 0 {
		b.written = maybeListed
	}
}

// end ends a ban that has no decision in force any more.
func (t *transaction) end(b *storedBan) {
	if !b.isNew && b.until > 0 && b.until <= t.now {
		return
	}
	b.ends, b.until, b.next, b.pendingSince = longAgo, longAgo, 0, t.now
	if !b.isNew {
		t.recorded.Ended++
		t.changed = true
	}
}
