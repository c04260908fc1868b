package server

import (
	"net/http"
	"net/netip"
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
