package watcher

import "time"

// SetAnswerTimeout shortens what a test would otherwise wait for. It must come before Run.
func (c *ConfigMaps) SetAnswerTimeout(timeout time.Duration) {
	c.follower.timeout = timeout
}
