package outbox

import "database/sql"

// DB returns the connection that writes, for tests.
func (o *Outbox) DB() *sql.DB { return o.writer }

// NextQuery is the query of [Outbox.Next].
const NextQuery = nextQuery
