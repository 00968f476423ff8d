package ledger

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// batch is how many rows one statement stores in SQLite.
const batch = 200

// inserter inserts or updates many rows by few statements, because each statement has a cost of its own.
type inserter struct {
	*transaction
	table   string
	columns []string
	known   string // what happens with a row that is known; "": it has none
	rows    int
	values  []any
}

// add adds a row. finish stores the last rows.
func (i *inserter) add(ctx context.Context, values ...any) error {
	i.values = append(i.values, values...)
	if i.rows++; i.rows < i.maxRows() {
		return nil
	}
	return i.finish(ctx)
}

// maxRows returns how many rows one statement stores. In PostgreSQL each statement is a round trip.
func (i *inserter) maxRows() int {
	if i.shared {
		return chunk
	}
	return batch
}

func (i *inserter) finish(ctx context.Context) error {
	if i.rows == 0 {
		return nil
	}
	var err error
	if i.shared {
		err = i.storeColumns(ctx)
	} else {
		err = i.storeRows(ctx)
	}
	i.rows, i.values = 0, i.values[:0]
	return err
}

func (i *inserter) insertInto() string {
	return "INSERT INTO " + i.table + " (" + strings.Join(i.columns, ", ") + ") "
}

// storeRows has a parameter for each value.
func (i *inserter) storeRows(ctx context.Context) error {
	row := "(?" + strings.Repeat(", ?", len(i.columns)-1) + ")"
	return i.exec(ctx, i.insertInto()+"VALUES "+row+strings.Repeat(", "+row, i.rows-1)+i.known, i.values...)
}

// storeColumns has a parameter for each column, which is an array in PostgreSQL's form. So the text of the statement is the same for any
// number of rows, and PostgreSQL prepares it once.
func (i *inserter) storeColumns(ctx context.Context) error {
	arrays, parameters := make([]string, len(i.columns)), make([]any, len(i.columns))
	for c := range i.columns {
		var list strings.Builder
		kind := ""
		list.WriteByte('{')
		for r := range i.rows {
			if r > 0 {
				list.WriteByte(',')
			}
			kind = appendElement(&list, i.values[r*len(i.columns)+c])
		}
		list.WriteByte('}')
		arrays[c], parameters[c] = "CAST(? AS "+kind+"[])", list.String()
	}
	return i.exec(ctx, i.insertInto()+"SELECT * FROM unnest("+strings.Join(arrays, ", ")+") AS stored"+i.known, parameters...)
}

// appendElement appends a value to an array, and returns its type.
// https://www.postgresql.org/docs/15/arrays.html#ARRAYS-IO
func appendElement(list *strings.Builder, value any) (kind string) {
	switch v := value.(type) {
	case []byte:
		list.WriteString(`"\\x`)
		list.WriteString(hex.EncodeToString(v))
		list.WriteByte('"')
		return "bytea"
	case string:
		list.WriteByte('"')
		list.WriteString(quoteElement.Replace(v))
		list.WriteByte('"')
		return "text"
	case int64:
		list.WriteString(strconv.FormatInt(v, 10))
	default:
		fmt.Fprintf(list, "%d", v) // an integer of another type
	}
	return "bigint"
}

var quoteElement = strings.NewReplacer(`\`, `\\`, `"`, `\"`)
