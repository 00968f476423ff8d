package ledger

import "database/sql"

// DB is the ledger's database.
func (l *Ledger) DB() *sql.DB { return l.db }

// Queries are all that a plan, and a change and a flush beside their own prefixes, ask about bans and about the time.
var Queries = []string{
	queryUnlisted, queryUnasserted, queryGone, queryEnded, queryNext,
	queryDeletable, queryEndedCount, queryDemote, queryPromote, queryExpired, queryNextDecision, queryFirstWaiting, queryLastEnforced,
}
