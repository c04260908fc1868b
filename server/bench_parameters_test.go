package server_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// parametric is a sidecar of BenchmarkParameters. The # is its number.
const parametric = `
name: s#:v1
parameters:
  log-dir: {default: /var/log/app, pattern: "/[a-z0-9/-]+"}
  cpu: {default: 100m, type: quantity, max: "1"}
  level: {default: info, enum: [debug, info, warn]}
  shard: {type: int}
containers:
- name: c#
  image: "logger:1"
  args: ["--dir=${log-dir}", "--level=${level}", "--shard=${shard}"]
  env: [{name: WHO, value: "${pod.namespace}/${pod.labels.app}"}]
  resources: {requests: {cpu: "${cpu}", memory: 32Mi}, limits: {memory: 64Mi}}
volumes: [{name: v#, emptyDir: {}}]
volumeMounts: [{name: v#, mountPath: "${log-dir}/#"}]
env: [{name: "LEVEL_#", value: "${level}"}]
---
`

// BenchmarkParameters measures alternately a review of three sidecars with parameters, of the same sidecars
// with fixed values, and of one sidecar.
func BenchmarkParameters(b *testing.B) {
	medians := alternate(b, parametricContenders(b))
	b.ReportMetric(medians[0]/medians[1], "x-without")
	b.ReportMetric(medians[0]/medians[2], "x-single")
}

func parametricContenders(tb testing.TB) []*contender {
	tb.Helper()
	var with, without strings.Builder
	for i := range 3 {
		definition := strings.ReplaceAll(parametric, "#", fmt.Sprint(i+1))
		with.WriteString(definition)
		_, behind, _ := strings.Cut(definition, "shard: {type: int}\n")
		fmt.Fprintf(&without, "name: s%d:v1\n%s", i+1, strings.NewReplacer("${log-dir}", "/data/logs", "${level}",
			"debug", "${shard}", "7", "${cpu}", "250m",
			"${pod.namespace}", "team-a", "${pod.labels.app}", "web").Replace(behind))
	}
	const asks = `"injector.tumblr.com/request":"logger:v1"`
	body := recorded(tb, "v1-deployment-pod")
	three := bytes.Replace(body, []byte(asks), []byte(`"injector.tumblr.com/request":"s1:v1, s2:v1, s3:v1"`), 1)
	set := bytes.Replace(three, []byte(`"injector.tumblr.com/request"`),
		[]byte(`"injector.tumblr.com/param.log-dir":"/data/logs","injector.tumblr.com/param.level":"debug",`+
			`"injector.tumblr.com/param.shard":"7","injector.tumblr.com/param.cpu":"250m",`+
			`"injector.tumblr.com/request"`), 1)
	if bytes.Equal(body, three) {
		tb.Fatal("the recorded pod does not ask as it did")
	}
	all := []*contender{
		newContenderWith(tb, "parameters", benchWebhookOf(tb, with.String()), set),
		newContenderWith(tb, "without", benchWebhookOf(tb, without.String()), three),
		newContender(tb, "single", benchWebhook(tb)),
	}
	if all[0].writer.written < 3000 || all[1].writer.written < 3000 {
		tb.Fatalf("%d and %d bytes: not injected", all[0].writer.written, all[1].writer.written)
	}
	return all
}
