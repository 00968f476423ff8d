package config

import _ "embed" // the sample file

//go:embed sample.yaml
var sample string

// Sample is a commented configuration with every key. What it leaves to its
// reader, beside addresses and passwords, is to identify the appliance: until
// then [Parse] refuses it.
func Sample() string { return sample }

// SampleName is the name in the sample.
const SampleName = "stormshield_default"
