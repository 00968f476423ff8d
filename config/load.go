package config

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Load reads a file of CrowdSec's notifications folder, for the command line.
//
// It does what CrowdSec 1.7.8 would do on the way to the plugin: documents of
// another type are left out, and $NAME and ${NAME} in values are replaced by the
// environment's, of this process; what is not set stays as it is. What CrowdSec
// would re-write on the way, such as an unquoted password 0443, is a fault.
//
// A file that cannot be read gives the system's error, a faulty one an [*Error].
func Load(path string) ([]Document, error) {
	return load(path, source{lookup: os.LookupEnv})
}

// LoadUnidentified is Load for the command that shows how to identify the appliance:
// a document without any identity check is no fault.
func LoadUnidentified(path string) ([]Document, error) {
	return load(path, source{lookup: os.LookupEnv, stranger: true})
}

func load(path string, from source) ([]Document, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	defer func() { _ = file.Close() }() // nothing was written
	text, err := io.ReadAll(io.LimitReader(file, largest+1))
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	docs, err := parse(text, from)
	if err == nil && len(docs) == 0 {
		err = errorOf([]Fault{{Problem: "holds no document of type " + Type,
			Hint: "`crowdsec-stormshield config` prints a sample"}})
	}
	var faulty *Error
	if errors.As(err, &faulty) {
		faulty.File = path
	}
	return docs, err
}
