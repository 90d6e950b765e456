package auth

import (
	"net/http"
	"net/netip"
	"strings"
)

// ClientAddress returns a function that tells from where a request comes. Behind proxies that is what the first of them saw:
// each adds to X-Forwarded-For whom it heard from, and only those in the given networks are believed.
func ClientAddress(proxies []netip.Prefix) func(*http.Request) netip.Addr {
	isProxy := func(address netip.Addr) bool {
		for _, network := range proxies {
			if network.Contains(address) {
				return true
			}
		}
		return false
	}
	return func(r *http.Request) netip.Addr {
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil {
			return netip.Addr{}
		}
		from := peer.Addr().Unmap().WithZone("")
		if !isProxy(from) {
			return from
		}
		heard := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		for i := len(heard) - 1; i >= 0; i-- {
			address, err := netip.ParseAddr(strings.TrimSpace(heard[i]))
			if err != nil {
				return from // the last one who is known
			}
			if from = address.Unmap().WithZone(""); !isProxy(from) {
				break
			}
		}
		return from
	}
}
