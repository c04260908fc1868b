// Package browser tests the status page of the real binary in headless Chromium. Run it with make browser.
package browser
