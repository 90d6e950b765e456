package webhook

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"code.dny.dev/ssrf"

	"corridor/internal/chat"
)

// hostMetadata is where machines of one cloud ask about themselves, at an address that looks public.
var hostMetadata = netip.MustParsePrefix("168.63.129.16/32")

// A Guard decides what webhooks may reach: the public Internet, and what the operator allows besides. Each address is judged when it is dialled, so
// it does not matter what a name meant before.
type Guard struct {
	networks []netip.Prefix
	public   *ssrf.Guardian
	allowed  *ssrf.Guardian
}

// NewGuard allows networks besides the public Internet. Only they may be reached without TLS.
func NewGuard(networks []netip.Prefix) *Guard {
	var v4, v6 []netip.Prefix
	for _, network := range networks {
		if network.Addr().Is4() {
			v4 = append(v4, network)
		} else {
			v6 = append(v6, network)
		}
	}
	besides := []ssrf.Option{ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...)}
	everything := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
	return &Guard{
		networks: networks,
		public:   ssrf.New(append(besides, ssrf.WithDeniedV4Prefixes(hostMetadata))...),
		allowed:  ssrf.New(append(besides, ssrf.WithDeniedV4Prefixes(everything...), ssrf.WithDeniedV6Prefixes(ssrf.IPv6GlobalUnicast))...),
	}
}

// Reaches tells whether an address may be reached.
func (g *Guard) Reaches(address netip.Addr) bool { return g.public.SafeAddr(address) == nil }

// Plain returns what tells whether an address may be reached without TLS, nil if there is none.
func (g *Guard) Plain() func(netip.Addr) bool {
	if len(g.networks) == 0 {
		return nil
	}
	return func(address netip.Addr) bool { return g.allowed.SafeAddr(address) == nil }
}

// errPlain says that an address may be reached with TLS alone.
var errPlain = errors.New("without TLS it may not be reached")

// safePlain judges what is dialled without TLS.
func (g *Guard) safePlain(network, address string, conn syscall.RawConn) error {
	err := g.allowed.Safe(network, address, conn)
	if err != nil && g.public.Safe(network, address, conn) == nil {
		return errPlain
	}
	return err
}

// client reaches what safe lets it, directly, and goes nowhere else that it is told to.
func client(safe func(network, address string, conn syscall.RawConn) error) *http.Client {
	dialer := &net.Dialer{Timeout: chat.AttemptTime, Control: safe}
	return &http.Client{
		Timeout: chat.AttemptTime,
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    chat.AttemptTime,
			MaxIdleConnsPerHost:    4,
			MaxIdleConns:           100,
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: 32 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
