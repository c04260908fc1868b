package cli

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-multierror"
	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"
	"github.com/spf13/pflag"
)

// The values of --log-format. The default depends on the output.
const (
	formatJSON    = "json"
	formatConsole = "console"
)

// loggingOptions configure the log.
type loggingOptions struct {
	levelName string
	format    string
	verbosity string
	level     zerolog.Level // set by Complete
	console   bool          // set by newLogger
}

func (o *loggingOptions) AddFlags(flags *pflag.FlagSet) {
	addGroup(flags, groupLogging, func(flags *pflag.FlagSet) {
		flags.StringVar(&o.levelName, "log-level", "info", "debug, info, warn or error [$LOG_LEVEL]")
		flags.StringVar(&o.format, "log-format", "",
			"json or console (default json, but console on a terminal and with --dev) [$LOG_FORMAT]")
	})
	flags.StringVarP(&o.verbosity, "v", "v", "", "numeric log level of the original")
	flags.Bool("logtostderr", true, "ignored; the log always goes to standard error")
	for _, legacy := range []string{"v", "logtostderr"} {
		flags.Lookup(legacy).Hidden = true
	}
}

// Complete validates the flags. The level is info if it is invalid. The original's flag --v overrides the variable
// LOG_LEVEL.
func (o *loggingOptions) Complete(e *flagErrors) {
	name, text := "log-level", o.levelName
	if e.onCommandLine("v") && !e.onCommandLine("log-level") {
		name, text = "v", o.verbosity
	}
	var err error
	o.level, err = parseLevel(text)
	e.add(name, err)
	switch o.format {
	case "", formatJSON, formatConsole:
	default:
		e.add("log-format", fmt.Errorf("%q is neither %s nor %s", o.format, formatJSON, formatConsole))
	}
}

// parseLevel parses the name of a level or a number of the original: 0 to 3 are info, higher numbers are debug.
func parseLevel(text string) (zerolog.Level, error) {
	switch text {
	case "debug", "info", "warn", "error":
		return zerolog.ParseLevel(text)
	case "warning":
		return zerolog.WarnLevel, nil
	}
	number, err := strconv.Atoi(text)
	switch {
	case err != nil || number < 0:
		return zerolog.InfoLevel, fmt.Errorf("%q is none of debug, info, warn, error", text)
	case number > 3:
		return zerolog.DebugLevel, nil
	}
	return zerolog.InfoLevel, nil
}

// newLogger returns the logger of the daemon and its buffered output, which the caller must close. If the format is
// invalid, it is console, so that the start can log before it fails.
func (o *loggingOptions) newLogger(stderr io.Writer, dev bool) (zerolog.Logger, *logWriter) {
	terminal := isTerminal(stderr)
	w := newLogWriter(stderr)
	var encoder io.Writer = w
	o.console = o.format != formatJSON && (o.format != "" || dev || terminal)
	if o.console {
		encoder = zerolog.ConsoleWriter{Out: w, NoColor: !terminal, TimeFormat: time.TimeOnly}
	}
	log := zerolog.New(encoder).Level(o.level).Hook(zerolog.HookFunc(addTime))
	go w.run(func(lines uint64) {
		log.Warn().Uint64("lines", lines).Msg("log lines dropped: the reader of standard error is too slow")
	})
	return log, w
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && isatty.IsTerminal(file.Fd())
}

// logStartError logs why the daemon cannot start, with an array of single lines, unless the log is for people. Then it
// returns the error, which Run prints.
func (o *loggingOptions) logStartError(log zerolog.Logger, err error) error {
	if o.console {
		return err
	}
	lines := texts(multierror.Append(nil, err).Errors, func(err error) string {
		return strings.Join(strings.Fields(err.Error()), " ")
	})
	log.Error().Str(zerolog.ErrorFieldName, strings.Join(lines, "; ")).Strs("errors", lines).Msg("cannot start")
	return errLogged
}

// addTime is a hook that adds the time in UTC with milliseconds. Zerolog's own needs global variables.
func addTime(event *zerolog.Event, _ zerolog.Level, _ string) {
	event.Str(zerolog.TimestampFieldName, time.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00"))
}
