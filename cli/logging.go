package cli

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/hashicorp/go-multierror"
	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"
)

// The values of --log-format. Without it, the format depends on where the log goes.
const (
	formatJSON    = "json"
	formatConsole = "console"
)

// logFlags are the flags of the log.
type logFlags struct {
	flagSet
	level     string
	format    string
	verbosity string
}

func (l *logFlags) define(flags flagSet) {
	l.flagSet = flags
	flags.StringVar(&l.level, "log-level", "info", "debug, info, warn or error")
	flags.env("log-level", "LOG_LEVEL")
	flags.StringVar(&l.format, "log-format", "", "json or console (default json, but console on a terminal and with --dev)")
	flags.env("log-format", "LOG_FORMAT")
	flags.StringVarP(&l.verbosity, "v", "v", "", "the original's log level as a number")
	flags.Bool("logtostderr", true, "accepted and ignored, as the log goes to standard error anyway")
	for _, legacy := range []string{"v", "logtostderr"} {
		flags.Lookup(legacy).Hidden = true
	}
}

// parseLevel reads a level by name or, as the original had it, by number: up to 3 is info,
// above is debug.
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
		return zerolog.NoLevel, fmt.Errorf("%q is none of debug, info, warn, error", text)
	case number > 3:
		return zerolog.DebugLevel, nil
	}
	return zerolog.InfoLevel, nil
}

// logger returns the logger of the daemon, which writes to the buffered form of the file. The console
// form is for people, the JSON form has one event a line.
func (l *logFlags) logger(file io.Writer, w *logWriter, dev bool) (zerolog.Logger, error) {
	var faults *multierror.Error
	flag, text := "log-level", l.level
	if l.given("v") && !l.given("log-level") {
		flag, text = "v", l.verbosity
	}
	level, err := parseLevel(text)
	if err != nil {
		faults = multierror.Append(faults, fmt.Errorf("%s: %w", l.named(flag), err))
	}
	var out io.Writer = w
	switch l.format {
	case formatJSON:
	case formatConsole:
		out = console(file, w)
	case "":
		if dev || terminal(file) {
			out = console(file, w)
		}
	default:
		faults = multierror.Append(faults, fmt.Errorf("%s: %q is neither %s nor %s", l.named("log-format"), l.format, formatJSON, formatConsole))
	}
	if faults != nil {
		return zerolog.Nop(), faults
	}
	log := zerolog.New(out).Level(level).Hook(timestamp{})
	w.recovered = func(lines uint64) {
		log.Warn().Uint64("lines", lines).Msg("log lines were dropped: the reader of standard error was too slow")
	}
	return log, nil
}

func console(file, w io.Writer) io.Writer {
	return zerolog.ConsoleWriter{Out: w, NoColor: !terminal(file), TimeFormat: time.TimeOnly}
}

func terminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && isatty.IsTerminal(file.Fd())
}

// timestamp adds the time in UTC with milliseconds, without touching zerolog's globals.
type timestamp struct{}

// Run implements zerolog.Hook.
func (timestamp) Run(event *zerolog.Event, _ zerolog.Level, _ string) {
	event.Str(zerolog.TimestampFieldName, time.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00"))
}
