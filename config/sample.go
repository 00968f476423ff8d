package config

import _ "embed" // the sample file

//go:embed sample.yaml
var sample string

// Sample returns a commented configuration with every key. [Parse] refuses it until somebody adds a key or a certificate
// that identifies the appliance.
func Sample() string { return sample }

// SampleName is the name in the sample.
const SampleName = "stormshield_default"

// sampleDocument is the document that the sample describes, without an identity of the appliance.
func sampleDocument() Document {
	documents, err := parse([]byte(sample), source{allowsUnidentified: true})
	if err != nil {
		panic("config: the sample: " + err.Error())
	}
	return documents[0]
}
