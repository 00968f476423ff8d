package config

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Load reads a file of CrowdSec's notifications folder, for the command line.
//
// It does what CrowdSec 1.7.8 does before it sends a configuration. It leaves out documents of another type, and replaces
// $NAME and ${NAME} by variables of this process's environment. A name that is not set stays. A value that CrowdSec would
// change, such as an unquoted password 0443, is a fault.
//
// A file that cannot be read gives the system's error. A file with faults gives an [*Error].
func Load(path string) ([]Document, error) {
	return load(path, source{lookup: os.LookupEnv})
}

// LoadUnidentified is Load for the commands that show how to identify the appliance. It accepts a document that does not
// identify it.
func LoadUnidentified(path string) ([]Document, error) {
	return load(path, source{lookup: os.LookupEnv, allowsUnidentified: true})
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
