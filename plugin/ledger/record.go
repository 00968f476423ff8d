package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
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
	Change   int64 // the ledger's change number afterwards
}

// Record writes bans down. Once it has returned they survive any crash. A ban
// that is known already changes nothing, a shorter one neither. With more than
// limit bans in force the soonest to end go, those of lists before local
// detections.
func (l *Ledger) Record(ctx context.Context, bans []ban.Ban, source Source, now time.Time, limit int) (Recorded, error) {
	var recorded Recorded
	// Once begun, a record is finished: CrowdSec would only send it again.
	ctx = context.WithoutCancel(ctx)
	inOrder := ordered(bans, now)
	err := l.write(ctx, func(tx *sql.Tx) error {
		r, err := newRecorder(ctx, tx, source, now)
		if err != nil {
			return err
		}
		for some := range slices.Chunk(inOrder, batch) {
			if err := r.record(ctx, some); err != nil {
				return err
			}
		}
		r.recorded.Known = len(bans) - r.recorded.Added - r.recorded.Extended
		if err := r.evict(ctx, limit); err != nil {
			return err
		}
		recorded = r.recorded
		return r.finish(ctx)
	})
	if err != nil {
		return Recorded{}, fmt.Errorf("record %d bans in %s: %w", len(bans), l.path, err)
	}
	return recorded, nil
}

// Changes returns the number of the last change that any process recorded.
func (l *Ledger) Changes(ctx context.Context) (int64, error) {
	return number(fact(ctx, l.db, factChanges))
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

// recorder is one call of Record.
type recorder struct {
	tx       *sql.Tx
	takeover bool
	now      int64
	soon     int64
	rows     int64
	recorded Recorded
	prepared map[string]*sql.Stmt
}

func newRecorder(ctx context.Context, tx *sql.Tx, source Source, now time.Time) (*recorder, error) {
	change, err := number(fact(ctx, tx, factChanges))
	if err != nil {
		return nil, err
	}
	rows, err := number(fact(ctx, tx, factRows))
	if err != nil {
		return nil, err
	}
	return &recorder{
		tx: tx, takeover: source == Takeover, now: now.UnixMilli(), soon: now.Add(soon).UnixMilli(),
		rows: rows, recorded: Recorded{Change: change + 1}, prepared: map[string]*sql.Stmt{},
	}, nil
}

// batch is how many bans go to SQLite in one statement. Much of what a
// statement costs does not depend on how many they are.
const batch = 200

// What to do about a prefix that has a row. The parameters are the change's
// number, the end that is soon, and five for each ban.
const (
	orLeave = "DO NOTHING"

	orExtend = `DO UPDATE SET until = excluded.until, origin = excluded.origin, scenario = excluded.scenario,
		local = MAX(local, excluded.local) WHERE excluded.until > ban.until AND ban.until > ?2`

	// It had ended, and what it left on the appliance may be there yet, or be
	// taken off right now.
	orRevive = `DO UPDATE SET until = excluded.until, origin = excluded.origin, scenario = excluded.scenario,
		local = excluded.local, recorded = excluded.recorded, written = -1, expires = 1
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
	r.recorded.Extended += int(extended)
	r.recorded.Added += int(revived)
	return err
}

// insert runs one statement, and returns how many rows it wrote.
func (r *recorder) insert(ctx context.Context, bans []keyed, onConflict string) (int64, error) {
	//nolint:gosec // it is of constants alone
	query := "INSERT INTO ban (recorded, prefix, until, local, origin, scenario) VALUES (?1, ?3, ?4, ?5, ?6, ?7)" +
		strings.Repeat(", (?1, ?, ?, ?, ?, ?)", len(bans)-1) + " ON CONFLICT " + onConflict
	statement := r.prepared[query]
	if statement == nil {
		var err error
		if statement, err = r.tx.PrepareContext(ctx, query); err != nil {
			return 0, err
		}
		r.prepared[query] = statement
	}
	parameters := append(make([]any, 0, 2+5*len(bans)), r.recorded.Change, r.soon)
	for _, b := range bans {
		parameters = append(parameters, b.prefix, b.Until.UnixMilli(), isLocal(b.Origin), b.Origin, b.Scenario)
	}
	return affected(statement.ExecContext(ctx, parameters...))
}

func (r *recorder) finish(ctx context.Context) error {
	return setFacts(ctx, r.tx, map[string]int64{factRows: r.rows, factChanges: r.recorded.Change})
}

func isLocal(origin string) bool {
	origin = strings.ToLower(origin)
	return origin != "capi" && origin != "console" && origin != "lists" && !strings.HasPrefix(origin, "lists:")
}
