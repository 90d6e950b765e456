//go:build !failpoints

package eventlog

// The points at which a build with the tag failpoints can be delayed, loses hints, or has a bug that
// a test must find. In this build they are nothing.

func pause(string)            {}
func losesHint() bool         { return false }
func planted(bug string) bool { return false }
