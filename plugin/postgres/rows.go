package postgres

import (
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
)

// rows are the rows of a result. They come from the server one by one, or from memory after buffer.
type rows struct {
	conn     *conn
	reader   *pgconn.ResultReader
	pipeline *pgconn.Pipeline // that the reader belongs to; nil: none
	columns  []string
	types    []uint32
	ended    bool // the connection is free for the next statement
	err      error
	changed  int64
	buffered [][]driver.Value
}

// begin reads the names of the columns. After it, the rows are those that the connection has open.
func (r *rows) begin() (*rows, error) {
	// Fields are known as soon as the server has answered the beginning. An error shows at the end only.
	for _, f := range r.reader.FieldDescriptions() {
		r.columns, r.types = append(r.columns, f.Name), append(r.types, f.DataTypeOID)
	}
	if len(r.columns) == 0 {
		if r.end(); r.err != nil {
			return nil, r.err
		}
		return r, nil
	}
	r.conn.open = r
	return r, nil
}

// end reads the rest of the answer.
func (r *rows) end() {
	if r.ended {
		return
	}
	r.ended = true
	if r.conn.open == r {
		r.conn.open = nil
	}
	tag, err := r.reader.Close()
	if r.pipeline != nil {
		if closed := r.pipeline.Close(); err == nil {
			err = closed
		}
	}
	r.changed = tag.RowsAffected()
	if err != nil {
		r.err = r.conn.handleError(err)
		return
	}
	r.conn.used = true
}

// buffer reads all rows into memory.
func (r *rows) buffer() error {
	for {
		row := make([]driver.Value, len(r.columns))
		err := r.read(row)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		r.buffered = append(r.buffered, row)
	}
}

// read reads the next row from the server.
func (r *rows) read(into []driver.Value) error {
	if r.ended || !r.reader.NextRow() {
		r.end()
		if r.err != nil {
			return r.err
		}
		return io.EOF
	}
	for i, text := range r.reader.Values() {
		value, err := decode(r.types[i], text)
		if err != nil {
			return fmt.Errorf("read the column %s: %w", r.columns[i], err)
		}
		into[i] = value
	}
	return nil
}

// Columns implements driver.Rows.
func (r *rows) Columns() []string { return r.columns }

// Next implements driver.Rows.
func (r *rows) Next(into []driver.Value) error {
	if len(r.buffered) > 0 {
		copy(into, r.buffered[0])
		r.buffered = r.buffered[1:]
		return nil
	}
	return r.read(into)
}

// Close implements driver.Rows.
func (r *rows) Close() error {
	r.buffered = nil
	r.end()
	return r.err
}

// decode returns a value that the server sent as text. nil is NULL.
func decode(oid uint32, text []byte) (driver.Value, error) {
	if text == nil {
		return nil, nil
	}
	switch oid {
	case oidInt2, oidInt4, oidInt8:
		return strconv.ParseInt(string(text), 10, 64)
	case oidBool:
		return len(text) == 1 && text[0] == 't', nil
	case oidBytea:
		if len(text) < 2 || string(text[:2]) != `\x` {
			return nil, fmt.Errorf("the bytes do not begin with \\x")
		}
		value := make([]byte, hex.DecodedLen(len(text)-2))
		_, err := hex.Decode(value, text[2:])
		return value, err
	case oidNumeric:
		if number, err := strconv.ParseInt(string(text), 10, 64); err == nil {
			return number, nil
		}
		return strconv.ParseFloat(string(text), 64)
	case oidFloat4, oidFloat8:
		return strconv.ParseFloat(string(text), 64)
	}
	return string(text), nil
}
