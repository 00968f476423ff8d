package snstest

import (
	"bytes"
	"cmp"
	"time"
)

// What the appliance says of itself; the version is the one whose answers were captured.
const (
	model   = "EVA2"
	version = "4.8.15"
)

func flag(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

// systemProperty is SYSTEM PROPERTY.
func (c *call) systemProperty() answer {
	options := c.appliance.options
	result := []keyValue{
		{"Type", "Firewall"},
		{"Model", model},
		{"MachineType", "amd64"},
		{"Version", version},
	}
	if !c.faults.NoSerialNumber {
		result = append(result, keyValue{"SerialNumber", cmp.Or(c.faults.SerialNumber, options.SerialNumber)})
	}
	return sectionAnswer("Result", append(result, keyValue{"HighAvail", flag(options.HighAvailability)})...)
}

// systemInformation is SYSTEM INFORMATION.
func (c *call) systemInformation() answer {
	return sectionAnswer("Result", keyValue{"SystemName", c.appliance.options.SerialNumber},
		keyValue{"Date", time.Now().Format(time.DateTime)})
}

// haCheckSync is HA CHECKSYNC: whether the peer has the same configuration.
func (c *call) haCheckSync() answer {
	if !c.appliance.options.HighAvailability {
		return plain(statusNoHA)
	}
	d := c.appliance.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	same := true
	for _, file := range []string{ObjectFile, GroupFile} {
		copied, ok := d.peer[file]
		same = same && ok && bytes.Equal(copied, d.read(file))
	}
	return sectionAnswer("Result", keyValue{"Sync", flag(same)})
}

// haSync is HA SYNC: it copies the configuration to the peer. The blacklist is not copied.
func (c *call) haSync() answer {
	if !c.appliance.options.HighAvailability {
		return plain(statusNoHA)
	}
	d := c.appliance.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, file := range []string{ObjectFile, GroupFile} {
		d.peer[file] = d.read(file)
	}
	return plain(statusOK)
}

// webadminAccess is CONFIG WEBADMIN ACCESS SHOW, the vendor's client's example of the list form.
func (c *call) webadminAccess() answer {
	return listAnswer("Result", []string{"net_lan", "admin_stations"})
}
