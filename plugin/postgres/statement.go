package postgres

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// The types of parameters and columns: src/include/catalog/pg_type.dat of PostgreSQL.
const (
	oidBool    = 16
	oidBytea   = 17
	oidInt8    = 20
	oidInt2    = 21
	oidInt4    = 23
	oidText    = 25
	oidFloat4  = 700
	oidFloat8  = 701
	oidNumeric = 1700
)

// mostPrepared bounds the prepared statements of a connection. Each costs memory in the server.
const mostPrepared = 200

// statement is a statement in PostgreSQL's form. The same text with parameters of other types is another statement.
type statement struct {
	text       string
	parameters int
	isScript   bool
	name       string // "": it is not prepared, because there are too many
	isPrepared bool
}

// bound are the values of parameters as the protocol has them.
type bound struct {
	values  [][]byte
	types   []uint32
	formats []int16
	key     string // one letter a type
}

// bind encodes the values of parameters.
func bind(arguments []driver.NamedValue) (bound, error) {
	b := bound{values: make([][]byte, len(arguments)), types: make([]uint32, len(arguments)), formats: make([]int16, len(arguments))}
	key := make([]byte, len(arguments))
	for i, a := range arguments {
		if a.Name != "" {
			return b, fmt.Errorf("the parameter %s has a name: write ?%d", a.Name, a.Ordinal)
		}
		switch value := a.Value.(type) {
		case nil:
			key[i] = '-'
		case int64:
			b.values[i], b.types[i], key[i] = strconv.AppendInt(nil, value, 10), oidInt8, 'i'
		case string:
			b.values[i], b.types[i], key[i] = []byte(toStorable(value)), oidText, 't'
		case []byte:
			b.values[i], b.types[i], key[i], b.formats[i] = value, oidBytea, 'b', 1
			if value == nil { // database/sql makes nil of a nil slice
				b.values[i] = []byte{}
			}
		case bool:
			b.values[i], b.types[i], key[i] = strconv.AppendBool(nil, value), oidBool, 'o'
		case float64:
			b.values[i], b.types[i], key[i] = strconv.AppendFloat(nil, value, 'g', -1, 64), oidFloat8, 'f'
		default:
			return b, fmt.Errorf("a parameter cannot be a %T", value)
		}
	}
	b.key = string(key)
	return b, nil
}

// toStorable replaces what PostgreSQL cannot store in a text.
func toStorable(text string) string {
	const replacement = "\uFFFD"
	return strings.ReplaceAll(strings.ToValidUTF8(text, replacement), "\x00", replacement)
}

// statementFor returns the statement for a text and the types of its parameters.
func (c *conn) statementFor(text string, b bound) (s *statement, err error) {
	key := b.key + " " + text
	if s = c.prepared[key]; s != nil {
		return s, nil
	}
	s = &statement{}
	if s.text, s.parameters, s.isScript, err = translate(text); err != nil {
		return nil, err
	}
	if s.isScript {
		s.text, s.parameters = text, 0
	}
	if s.parameters != len(b.values) {
		return nil, fmt.Errorf("the statement has %d parameters, and %d values", s.parameters, len(b.values))
	}
	if !s.isScript && len(c.prepared) < mostPrepared {
		s.name = "s" + strconv.Itoa(len(c.prepared))
		c.prepared[key] = s
	}
	return s, nil
}

// run starts a statement. The caller closes the rows.
func (c *conn) run(ctx context.Context, text string, arguments []driver.NamedValue) (*rows, error) {
	b, err := bind(arguments)
	if err != nil {
		return nil, err
	}
	s, err := c.statementFor(text, b)
	if err != nil {
		return nil, err
	}
	if s.isScript {
		changed, err := c.runScript(ctx, s.text)
		if err != nil {
			return nil, err
		}
		return &rows{conn: c, ended: true, changed: changed}, nil
	}
	if err := c.bufferOpen(); err != nil {
		return nil, err
	}
	found := &rows{conn: c}
	switch {
	case s.isPrepared:
		found.reader = c.pg.ExecPrepared(ctx, s.name, b.values, b.formats, nil)
	case s.name != "":
		if err := found.prepareAndRun(ctx, s, b); err != nil {
			return nil, c.handleError(err)
		}
	default:
		found.reader = c.pg.ExecParams(ctx, s.text, b.values, b.types, b.formats, nil)
	}
	return found.begin()
}

// prepareAndRun prepares a statement and runs it, in one round trip.
func (r *rows) prepareAndRun(ctx context.Context, s *statement, b bound) error {
	r.pipeline = r.conn.pg.StartPipeline(ctx)
	r.pipeline.SendPrepare(s.name, s.text, b.types)
	r.pipeline.SendQueryPrepared(s.name, b.values, b.formats, nil)
	err := r.pipeline.Sync()
	if err == nil {
		_, err = r.pipeline.GetResults()
	}
	// The server keeps the prepared statement even if its execution fails, or if the transaction does.
	s.isPrepared = s.isPrepared || err == nil
	var result any
	if err == nil {
		result, err = r.pipeline.GetResults()
	}
	if err != nil {
		_ = r.pipeline.Close() // it repeats the error
		return err
	}
	reader, isReader := result.(*pgconn.ResultReader)
	if !isReader {
		_ = r.pipeline.Close()
		return fmt.Errorf("PostgreSQL answered a statement with %T", result)
	}
	r.reader = reader
	return nil
}
