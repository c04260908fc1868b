// Package browser tests the pages of the real binary in headless Chromium. Run it with make browser.
package browser
