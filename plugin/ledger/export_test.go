package ledger

import "database/sql"

// DB is the ledger's database.
func (l *Ledger) DB() *sql.DB { return l.writer }

// Queries are the queries of a plan, and those of a change and of a flush that are not about their own prefixes.
var Queries = []string{
	queryLooked, queryGone, queryEnded, queryNext,
	queryDeletable, querySettle, queryEndedCount, queryDemote, queryPromote, queryExpired, queryNextDecision, queryFirstWaiting, queryLastEnforced,
}

// StatusQueries are the queries of a status, of the newest bans, and of the waits of new bans.
var StatusQueries = []string{queryTally, queryEndedByClass, queryLooks, queryLeft, queryNext, queryRecent, queryNew, queryNewAmong, queryFacts, queryDifferences}

// The writes that get two lists.
const (
	DeleteRemoved = deleteRemoved
	UpdateMissed  = updateMissed
	UpdateBlocked = updateBlocked
)

// Pretend makes the ledger act as another machine.
func (l *Ledger) Pretend(number int64) { l.machine.Store(bitOf(number)) }
