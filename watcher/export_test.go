package watcher

import "time"

// SetListTimeout shortens what a test would otherwise wait for. It must come before Run.
func (c *ConfigMaps) SetListTimeout(timeout time.Duration) {
	c.follower.timeout = timeout
}
