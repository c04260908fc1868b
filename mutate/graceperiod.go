package mutate

import (
	"strconv"

	"k8s-sidecar-injector/conf"
)

// defaultGracePeriod is what the API server sets before it calls webhooks if a pod has no
// terminationGracePeriodSeconds.
const defaultGracePeriod = 30

// checkGracePeriod adds the longest grace period of the sidecars if it is longer than that of the pod.
func (p *plan) checkGracePeriod(target *scalar, next *conf.Element) omission {
	received := int64(defaultGracePeriod)
	if own := p.specDetails.GracePeriod; own != nil {
		received = *own
	}
	longest, by := p.longestGracePeriod()
	switch seconds := secondsOf(next); {
	case seconds == received:
		return omission{text: podHasIt}
	case seconds < received:
		return omission{text: podHasLonger}
	case seconds < longest:
		return omission{text: sidecarAddsLonger, by: by}
	case target.by != nil:
		return omission{text: sidecarAddsIt, by: target.by}
	}
	return omission{}
}

// longestGracePeriod returns the longest grace period of the sidecars in seconds, and the first sidecar that has it.
func (p *plan) longestGracePeriod() (longest int64, by *conf.Sidecar) {
	for _, s := range p.sidecars {
		elements := s.Elements("terminationGracePeriodSeconds")
		for i := range elements {
			if seconds := secondsOf(&elements[i]); by == nil || seconds > longest {
				longest, by = seconds, s
			}
		}
	}
	return longest, by
}

func secondsOf(element *conf.Element) int64 {
	seconds, _ := strconv.ParseInt(element.Name, 10, 64) // an integer, as was validated when it was loaded
	return seconds
}
