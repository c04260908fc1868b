package watcher

import "time"

// SetAnswerTimeout shortens what a test would otherwise wait for. It must come before Run.
func (c *ConfigMaps) SetAnswerTimeout(timeout time.Duration) {
	c.informer.Timeout = timeout
}

// SetTimeouts does the same for lists and watches, and for questions.
func (n *Namespaces) SetTimeouts(answer, question time.Duration) {
	n.informer.Timeout, n.patience = answer, question
}

// Remembered is how many answers are kept of namespaces that were not seen yet.
func (n *Namespaces) Remembered() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.fresh)
}

// MostRemembered is how many there may be.
const MostRemembered = mostFresh
