package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"notification-stormshield/plugin/ban"
)

// Source is who says that a prefix must be blocked.
type Source string

const (
	// Alert is an alert that CrowdSec handed over.
	Alert Source = "alert"
	// Takeover is a block that was found on the appliance and that nothing in
	// the ledger explains: of the older Python component, or of lost state. It
	// leaves alone what the ledger knows, be it in force or ended.
	Takeover Source = "takeover"
)

// Recorded says what a call of Record changed.
type Recorded struct {
	Added    int   // prefixes that nothing blocked before, or not for much longer
	Extended int   // prefixes that now stand longer
	Known    int   // bans that changed nothing
	Evicted  int   // bans that went because there were too many
	Left     int   // bans of a list that were left out for the same reason
	Change   int64 // the ledger's change number afterwards
}

// Record writes bans down. Once it has returned they survive any crash. A ban
// that is known already changes nothing, a shorter one neither. With more than
// limit bans in force the soonest to end go, those of lists before local
// detections.
//
// What takes time is to have the disk keep it. Calls that come while another
// one waits for the disk are kept together, by the first of them.
func (l *Ledger) Record(ctx context.Context, bans []ban.Ban, source Source, now time.Time, limit int) (Recorded, error) {
	// Once begun, a record is finished: CrowdSec would only send it again.
	ctx = context.WithoutCancel(ctx)
	w := &waiting{bans: ordered(bans, now), total: len(bans), source: source, now: now, limit: limit, err: errNotRecorded}
	l.queue.add(w)
	l.writing.Lock()
	defer l.writing.Unlock()
	if !w.done { // else somebody took it along
		l.recordAll(ctx, l.queue.take())
	}
	if w.err != nil {
		return Recorded{}, fmt.Errorf("record %d bans in %s: %w", len(bans), l.path, w.err)
	}
	return w.recorded, nil
}

// errNotRecorded is what comes of a call that was taken along by one that
// panicked.
var errNotRecorded = errors.New("the transaction did not come to its end")

// waiting is a call of Record that waits for its turn.
type waiting struct {
	bans   []keyed
	total  int // with those that are over
	source Source
	now    time.Time
	limit  int

	// What came of it. Whoever holds the ledger's lock writes and reads these.
	done     bool
	recorded Recorded
	err      error
}

// queue holds the calls of Record that nobody has begun.
type queue struct {
	mu  sync.Mutex
	all []*waiting
}

func (q *queue) add(w *waiting) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.all = append(q.all, w)
}

func (q *queue) take() []*waiting {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.all
	q.all = nil
	return all
}

// recordAll records what several calls brought, in one transaction. Whoever
// calls it holds the lock for writing.
func (l *Ledger) recordAll(ctx context.Context, all []*waiting) {
	err := l.transact(ctx, func(tx *sql.Tx) error {
		r, err := l.newRecorder(ctx, tx)
		if err != nil {
			return err
		}
		for _, w := range all {
			if w.recorded, err = r.recordOne(ctx, w); err != nil {
				return err
			}
		}
		return r.finish(ctx)
	})
	for _, w := range all {
		w.done, w.err = true, err
	}
}

// keyed is a ban beside its key.
type keyed struct {
	prefix string
	*ban.Ban
}

// ordered puts the bans that are not over in the order of their keys: of
// 100,000, each then goes onto the page that the one before it went onto.
func ordered(bans []ban.Ban, now time.Time) []keyed {
	inOrder := make([]keyed, 0, len(bans))
	for i := range bans {
		if b := &bans[i]; b.Until.UnixMilli() > now.UnixMilli() {
			inOrder = append(inOrder, keyed{b.Prefix.String(), b})
		}
	}
	slices.SortFunc(inOrder, func(a, b keyed) int { return strings.Compare(a.prefix, b.prefix) })
	return inOrder
}

// soon is how short before its end a ban counts as ended when it is recorded
// anew. A flush that looked at the clock a little later than the alert may be
// taking it off right now.
const soon = time.Minute

// recorder is one transaction of Record.
type recorder struct {
	ledger   *Ledger
	tx       *sql.Tx
	change   int64 // number of the last change
	rows     int64
	lists    bool  // the Local API's list has been read
	left     int64 // bans that this transaction left out or evicted
	prepared map[string]*sql.Stmt

	// The call that it is at.
	takeover bool
	now      int64
	soon     int64
	recorded Recorded
}

func (l *Ledger) newRecorder(ctx context.Context, tx *sql.Tx) (*recorder, error) {
	change, err := number(fact(ctx, tx, factChanges))
	if err != nil {
		return nil, err
	}
	rows, err := number(fact(ctx, tx, factRows))
	if err != nil {
		return nil, err
	}
	reads, err := number(fact(ctx, tx, factReads))
	if err != nil {
		return nil, err
	}
	return &recorder{ledger: l, tx: tx, change: change, rows: rows, lists: reads > 0, prepared: map[string]*sql.Stmt{}}, nil
}

// recordOne records what one call brought, as a change of its own.
func (r *recorder) recordOne(ctx context.Context, w *waiting) (Recorded, error) {
	r.change++
	r.takeover, r.now, r.soon = w.source == Takeover, w.now.UnixMilli(), w.now.Add(soon).UnixMilli()
	r.recorded = Recorded{Change: r.change}
	for some := range slices.Chunk(w.bans, batch) {
		if err := r.record(ctx, some); err != nil {
			return Recorded{}, err
		}
	}
	r.recorded.Known = w.total - r.recorded.Added - r.recorded.Extended
	if err := r.evict(ctx, w.limit); err != nil {
		return Recorded{}, err
	}
	return r.recorded, nil
}

// batch is how many bans go to SQLite in one statement. Much of what a
// statement costs does not depend on how many they are.
const batch = 200

// What to do about a prefix that has a row. The parameters are the change's
// number, the end that is soon, the change with which an alert spoke of it and when,
// and six for each ban.
const (
	orLeave = "DO NOTHING"

	orExtend = `DO UPDATE SET until = excluded.until, origin = excluded.origin, scenario = excluded.scenario,
		local = MAX(local, excluded.local), heard = excluded.heard, heard_at = excluded.heard_at, alerted = excluded.alerted
		WHERE excluded.until > ban.until AND ban.until > ?2`

	// It is known. That an alert spoke of it counts against a list that was read
	// before.
	orHear = "DO UPDATE SET heard = excluded.heard, heard_at = excluded.heard_at, alerted = MAX(alerted, excluded.alerted) WHERE ban.until > ?2"

	// It had ended, and what it left on the appliance may be there yet, or be
	// taken off right now.
	orRevive = `DO UPDATE SET until = excluded.until, origin = excluded.origin, scenario = excluded.scenario,
		local = excluded.local, recorded = excluded.recorded, heard = excluded.heard, heard_at = excluded.heard_at, alerted = excluded.alerted, listed = 0, written = -1, expires = 1
		WHERE excluded.until > ban.until AND ban.until <= ?2`
)

// record writes down as many bans as fit one statement.
func (r *recorder) record(ctx context.Context, bans []keyed) error {
	added, err := r.insert(ctx, bans, orLeave)
	if err != nil {
		return err
	}
	r.rows += added
	r.recorded.Added += int(added)
	if int(added) == len(bans) || r.takeover {
		return nil
	}
	// What was just added is as long as it gets, and is left as it is.
	extended, err := r.insert(ctx, bans, orExtend)
	if err != nil {
		return err
	}
	revived, err := r.insert(ctx, bans, orRevive)
	if err != nil {
		return err
	}
	r.recorded.Extended += int(extended)
	r.recorded.Added += int(revived)
	if r.lists {
		_, err = r.insert(ctx, bans, orHear)
	}
	return err
}

// insert runs one statement, and returns how many rows it wrote.
func (r *recorder) insert(ctx context.Context, bans []keyed, onConflict string) (int64, error) {
	//nolint:gosec // it is of constants alone
	query := "INSERT INTO ban (recorded, heard, heard_at, prefix, until, local, origin, scenario, alerted) VALUES (?1, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)" +
		strings.Repeat(", (?1, ?3, ?4, ?, ?, ?, ?, ?, ?)", len(bans)-1) + " ON CONFLICT " + onConflict
	statement := r.prepared[query]
	if statement == nil {
		var err error
		if statement, err = r.tx.PrepareContext(ctx, query); err != nil {
			return 0, err
		}
		r.prepared[query] = statement
	}
	heard, at := r.recorded.Change, r.now
	if r.takeover {
		heard, at = 0, 0
	}
	parameters := append(make([]any, 0, 4+6*len(bans)), r.recorded.Change, r.soon, heard, at)
	for _, b := range bans {
		parameters = append(parameters, b.prefix, b.Until.UnixMilli(), !r.takeover && isLocal(b.Origin), b.Origin, b.Scenario, b.Until.UnixMilli())
	}
	return affected(statement.ExecContext(ctx, parameters...))
}

func (r *recorder) finish(ctx context.Context) error {
	facts := map[string]int64{factRows: r.rows, factChanges: r.change}
	if r.left > 0 && r.lists {
		left, err := number(fact(ctx, r.tx, factLeftOut))
		if err != nil {
			return err
		}
		facts[factLeftOut] = left + r.left
	}
	r.ledger.own.Store(r.change) // before others can see it
	return setFacts(ctx, r.tx, facts)
}

func isLocal(origin string) bool {
	origin = strings.ToLower(origin)
	return origin != "capi" && origin != "console" && origin != "lists" && !strings.HasPrefix(origin, "lists:")
}
