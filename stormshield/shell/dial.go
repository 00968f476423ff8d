package shell

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// Dialer opens connections to one appliance. It asks first for a host key of the
// type that it trusted last, because each refused key costs a connection and a line
// in the appliance's log.
type Dialer struct {
	config Config

	mu      sync.Mutex
	trusted string // "": none so far
}

// NewDialer returns a dialer for an appliance. It opens no connection.
func NewDialer(c Config) *Dialer { return &Dialer{config: c} }

// Dial connects and logs in. A refused login is an [AuthError], a host key that
// is not trusted a [HostKeyError].
func (d *Dialer) Dial(ctx context.Context) (*Client, error) {
	client, err := d.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("log in over SSH to %s as %s: %w", d.config.address(), d.config.User, err)
	}
	return client, nil
}

func (d *Dialer) dial(ctx context.Context) (*Client, error) {
	login, err := newLogin(d.config)
	if err != nil {
		return nil, err
	}
	trust, err := newTrust(d.config)
	if err != nil {
		return nil, err
	}
	all := d.config.hostKeyTypes()
	wanted := trust.wanted(d.config.address(), all)
	if last := d.lastTrusted(); slices.Contains(wanted, last) {
		wanted = firstOf([]string{last}, wanted)
	}
	var client *Client
	err = askEach(wanted, all, func(algorithms []string) error {
		client, err = d.config.connect(ctx, login, trust.check, algorithms)
		return err
	})
	switch {
	case err == nil:
		d.remember(trust.trusted)
		return client, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	return nil, login.explain(err)
}

func (d *Dialer) lastTrusted() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.trusted
}

func (d *Dialer) remember(keyType string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.trusted = keyType
}
