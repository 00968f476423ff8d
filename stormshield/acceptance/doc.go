// Package acceptance checks whether an appliance behaves as the plugin expects.
//
// The plugin rests on assumptions about SNS: how it logs in, which tools it has, what its commands answer. [Check] tries those
// that need no write, and [CheckAndWrite] tries all of them. Each assumption gives one [Finding]. The package enforces no ban,
// and leaves the appliance as it was.
package acceptance
