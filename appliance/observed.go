package appliance

import "time"

// Observed is what a client saw of its appliance since the client was made.
type Observed struct {
	API, SSH Traffic

	Model, Version  string    // of the appliance; "": no login to the API asked for them yet
	CertificateEnds time.Time // when the certificate that the API showed last ends; zero: it showed none yet
}

// Traffic counts the connections to one server of an appliance.
type Traffic struct {
	Logins         int64 // logins that the appliance accepted
	Refused        int64 // logins that the appliance refused
	Sent, Received int64 // bytes at the socket, with handshakes
}
