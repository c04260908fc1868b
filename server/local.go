package server

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// localOnly responds with 403 to clients on other hosts.
func localOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		address, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !address.Addr().Unmap().IsLoopback() {
			http.Error(w, "only clients on loopback may use this path", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// localName responds with 403 unless the Host header is localhost or a loopback address. Another site may resolve its
// own name to a loopback address, so that its scripts can read responses.
func localName(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := (&url.URL{Host: r.Host}).Hostname()
		address, err := netip.ParseAddr(name)
		if !strings.EqualFold(name, "localhost") && (err != nil || !address.Unmap().IsLoopback()) {
			http.Error(w, "this page is only at localhost and at loopback addresses", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}
