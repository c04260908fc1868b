package pki

import "time"

// Decode parses the content of a Secret and returns the bundle that clients trust.
func Decode(data map[string][]byte, now time.Time) (bundle []byte, err error) {
	s, err := decode(data, now)
	if err != nil {
		return nil, err
	}
	return s.bundle(), nil
}

// Next returns the content that a replica writes after it has read the content of the Secret, nil if
// it writes nothing.
func Next(
	data map[string][]byte, now time.Time, propagated bool, lifetime, caLifetime time.Duration,
) (map[string][]byte, error) {
	o := Options{Names: []string{"injector.example.com"}, Lifetime: lifetime, CALifetime: caLifetime}
	stored, _ := decode(data, now)
	next, _, err := o.next(stored, nil, propagated, now)
	if err != nil || next == nil {
		return nil, err
	}
	return next.encode()
}
