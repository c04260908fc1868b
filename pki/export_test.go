package pki

import "time"

// Decode reads what a Secret holds, and gives what clients are to trust by it.
func Decode(data map[string][]byte, now time.Time) (bundle []byte, err error) {
	s, err := decode(data, now)
	if err != nil {
		return nil, err
	}
	return s.bundle(), nil
}
