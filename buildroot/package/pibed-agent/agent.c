// SPDX-License-Identifier: MIT
/*
 * Runs commands one at a time and frames what they print.
 *
 *   agent PLAN CONSOLE LOG GRACE
 *
 * A command comes as one line, "ID SECONDS COMMAND", from the file PLAN or from the serial line
 * (PIBED_FEED=plan or type); SECONDS may have a fraction. The line "end" is the last one.
 * What goes out:
 *
 *   @@pibed ready             once, when commands can be taken
 *   @@pibed begin ID
 *   | a line of output        each one marked, so that no output can pass for a marker;
 *                             a NUL becomes a question mark
 *   @@pibed end ID STATUS [timeout] [truncated]
 *   @@pibed stuck ID          instead of the end; then the guest powers off
 *   @@pibed done              after the last command; then the guest powers off
 *
 * STATUS is the command's exit status, 128 and the signal's number if one killed it, 126 if it
 * could not be run. A command that runs for longer than SECONDS is killed with its process group.
 * What it leaves behind in other sessions is killed when it has ended. It is stuck if something of
 * it is still there GRACE seconds after its time: a process that sleeps in the kernel and hears no
 * signal, or one that left its group and hides. Output beyond LIMIT bytes is dropped.
 *
 * On ARM a command's child marks where it begins, and the agent, for every command once, where it
 * has ended, by instructions that do nothing: hints without a meaning, which a plugin of QEMU sees.
 *
 * The kernel's messages since the last command go from LOG to the kernel's CONSOLE, between
 * commands, so that printing them disturbs nothing that is measured. LOG is /dev/kmsg, of which
 * each reader gets all.
 *
 * In a guest this is the first process. Any other, as in a test, touches nothing but the files on
 * its command line and what its commands have started, and ends where it would power off.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define LIMIT 65536

/* More than the kernel lets a program have as one argument (MAX_ARG_STRLEN). */
#define LONGEST_LINE (160 * 1024)

/*
 * Seconds from a command's end to the first look for what it has left behind; what it has in its
 * group is gone by then. Each further pause is twice as long.
 */
#define LOOK_S 0.02

/* Far more than the kernel's log holds: one that grows without end must not hold us. */
#define MOST_OF_LOG (1024 * 1024)

/* See syslog(2); no header has it. */
#define SYSLOG_ACTION_CLEAR 5

/* See pibed/model/counts.py. */
#define BEGIN 0x80
#define END 0x81

#if defined(__thumb2__)
#define MARK(code) ({ __asm__ volatile(".inst.w %c0" : : "i"(0xf3af8000 | (code)) : "memory"); })
#elif defined(__arm__) && !defined(__thumb__)
#define MARK(code) ({ __asm__ volatile(".inst %c0" : : "i"(0xe320f000 | (code)) : "memory"); })
#else
#define MARK(code) ((void)(code))
#endif

struct run {
	pid_t pid;
	int output;		/* to read it from, or -1 if nobody can write it any more */
	double deadline;
	/* The child that looks for strays, or 0; when the next one is to look. */
	pid_t scan;
	double look_at, pause;
	/* Looks in a row without a stray; one that was just in the midst of an exec has no mark. */
	unsigned int quiet;
	int status;
	bool ended;
	bool late;
	bool truncated;
	size_t size;
	char text[LIMIT];
};

static bool in_guest;
static double grace;
static FILE *console;
static int kernel_log;
static DIR *processes;

/* "PIBED_RUN=1" in the environment of all that a command starts, with the NULs around it. */
static char mark[32];
static size_t mark_size;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static bool parse_seconds(const char *text, double *seconds)
{
	char *end;

	*seconds = strtod(text, &end);
	/* Neither a NaN nor more than clocks have room for. */
	return end != text && !*end && *seconds >= 0 && *seconds <= 1e9;
}

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		fprintf(stderr, "agent: %s: %s\n", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

[[gnu::noreturn]]
static void power_off(void)
{
	if (!in_guest)
		exit(0);
	sync();
	reboot(RB_POWER_OFF);
	/* The kernel panics over that, which is heard. */
	exit(1);
}

/* Prints a marker; returns when it has been sent, since that would disturb a command. */
[[gnu::format(printf, 1, 2)]]
static void say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("\n@@pibed ", stdout);
	vprintf(format, arguments);
	putchar('\n');
	va_end(arguments);
	if (fflush(stdout))
		power_off();
	tcdrain(STDOUT_FILENO);
}

/*
 * Gives the console a line of the kernel's log, "LEVEL,NUMBER,MICROSECONDS,FLAGS;TEXT", in the form
 * in which the kernel itself does. In TEXT some characters are "\xNN". Lines that begin with a
 * space say more of the message before. Messages of KERN_WARNING and worse were on the console when
 * they came (loglevel=5); those that are not the kernel's own add a multiple of 8 to the level.
 */
static void show_message(const char *line)
{
	const char *text = strchr(line, ';');
	unsigned long long time;
	unsigned int level, code;
	char stamp[32];

	if (!text || *line == ' ' || sscanf(line, "%u,%*u,%llu", &level, &time) != 2 ||
	    level % 8 <= 4)
		return;
	snprintf(stamp, sizeof(stamp), "[%5llu.%06llu] ", time / 1000000, time % 1000000);
	fputs(stamp, console);
	while (*++text) {
		char c = *text;
		int size;

		if (c == '\\' && sscanf(text, "\\x%2x%n", &code, &size) == 1) {
			c = code;
			text += size - 1;
		}
		putc(c, console);
		if (c == '\n')
			fputs(stamp, console);
	}
	putc('\n', console);
}

/* Gives the console what has come to the kernel's log. */
static void flush_kernel_log(void)
{
	/* Each read of /dev/kmsg gives one message, which is no longer than half of this. */
	static char text[16384];
	static size_t kept;
	size_t all = 0;

	while (all < MOST_OF_LOG) {
		ssize_t length = read(kernel_log, text + kept, sizeof(text) - 1 - kept);
		char *line = text, *end;

		/* There were more than the log holds; the next one is the oldest that is left. */
		if (length < 0 && errno == EPIPE) {
			all++;
			continue;
		}
		if (length <= 0)
			break;
		all += length;
		text[kept + length] = '\0';
		while ((end = strchr(line, '\n'))) {
			*end = '\0';
			show_message(line);
			line = end + 1;
		}
		kept = strlen(line);
		if (kept == sizeof(text) - 1)
			kept = 0;
		memmove(text, line, kept);
	}
	if (!all)
		return;
	fflush(console);
	tcdrain(fileno(console));
	/* What dmesg shows to a command is new. */
	if (in_guest)
		klogctl(SYSLOG_ACTION_CLEAR, NULL, 0);
}

[[gnu::noreturn]]
static void execute(char *command, int output)
{
	char *const arguments[] = { "sh", "-c", command, NULL };
	sigset_t none;

	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	if (in_guest)
		write_text("/proc/self/oom_score_adj", "0");
	MARK(BEGIN);
	execv("/bin/sh", arguments);
	dprintf(STDERR_FILENO, "agent: /bin/sh: %s\n", strerror(errno));
	_exit(126);
}

/* Starts a command, which is NULL if its line was too long. Returns NULL, or what is wrong. */
static const char *start(struct run *run, const char *seconds, char *command)
{
	double limit;
	int ends[2];

	if (!parse_seconds(seconds, &limit))
		return "expected ID SECONDS COMMAND";
	if (!command)
		return "the line is too long";
	if (pipe2(ends, O_CLOEXEC))
		return strerror(errno);
	run->output = ends[0];
	run->deadline = now() + limit;
	run->pid = fork();
	if (!run->pid)
		execute(command, ends[1]);
	close(ends[1]);
	if (run->pid > 0)
		return NULL;
	close(ends[0]);
	return strerror(errno);
}

/* Takes in what a look for strays has found: its status is 0 if there were none. */
static void end_scan(struct run *run, int status)
{
	run->scan = 0;
	run->quiet = status ? 0 : run->quiet + 1;
	run->pause *= 2;
	run->look_at = now() + run->pause;
}

/* Takes leave of all that has ended; orphans are ours as well. Returns whether any are left. */
static bool reap(struct run *run)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == run->scan) {
			end_scan(run, status);
			continue;
		}
		if (pid != run->pid || run->ended)
			continue;
		MARK(END);
		run->ended = true;
		run->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
		kill(-pid, SIGKILL);
	}
	return !pid;
}

/* Whether a process has the mark in its environment; kernel threads and zombies have none. */
static bool is_marked(const char *pid)
{
	/* A NUL stands before the first variable, too, since the mark begins with one. */
	char path[32], text[4096] = "";
	size_t kept = 1;
	bool found = false;
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/proc/%.10s/environ", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	while (!found && (length = read(fd, text + kept, sizeof(text) - kept)) > 0) {
		size_t size = kept + length;

		found = memmem(text, size, mark, mark_size);
		kept = size < mark_size ? size : mark_size - 1;
		memmove(text, text + size - kept, kept);
	}
	close(fd);
	return found;
}

/*
 * Kills what a command has started in sessions of its own, which would outlive it and hold the
 * output and the module. Returns whether there was anything.
 */
static bool kill_strays(void)
{
	struct dirent *entry;
	bool found = false;

	rewinddir(processes);
	while ((entry = readdir(processes))) {
		int pid = atoi(entry->d_name);

		if (pid <= 0 || !is_marked(entry->d_name))
			continue;
		kill(pid, SIGKILL);
		found = true;
	}
	return found;
}

/*
 * Has a child look for strays, since the look may take for ever: a process that sleeps in the
 * kernel with the lock of its memory held lets nobody read its environment.
 */
static void start_scan(struct run *run)
{
	run->scan = fork();
	if (!run->scan)
		_exit(kill_strays());
	if (run->scan < 0)
		end_scan(run, -1);
}

static void read_output(struct run *run)
{
	/* As large as a pipe. */
	static char dropped[65536];
	size_t room = LIMIT - run->size;
	ssize_t length = room ? read(run->output, run->text + run->size, room) :
				read(run->output, dropped, sizeof(dropped));

	if (length <= 0) {
		close(run->output);
		run->output = -1;
	} else if (room) {
		run->size += length;
	} else {
		run->truncated = true;
	}
}

/* Sleeps until there is output or a process ends, or for some time. */
static void wait_for_event(struct run *run, double seconds)
{
	const time_t whole = seconds;
	const struct timespec time = { .tv_sec = whole, .tv_nsec = (seconds - whole) * 1e9 };
	struct pollfd output = { .fd = run->output, .events = POLLIN };
	sigset_t none;

	sigemptyset(&none);
	if (ppoll(&output, 1, &time, &none) > 0)
		read_output(run);
}

/* Follows a command to its end. Returns false if something of it is there when all is over. */
static bool supervise(struct run *run)
{
	bool last = false;

	for (;;) {
		bool left = reap(run);
		double time, next;

		if (!run->ended)
			run->look_at = now() + run->pause;
		else if (left && !run->scan && now() >= run->look_at)
			start_scan(run);
		if (run->ended && run->output < 0 && (!left || (run->quiet > 1 && !run->scan)))
			return true;
		time = now();
		if (time >= run->deadline) {
			if (last) {
				if (run->scan)
					kill(run->scan, SIGKILL);
				return false;
			}
			last = true;
			run->deadline = time + grace;
			run->late = !run->ended;
			if (run->late) {
				/* By its own number as well: it may not have made its group yet. */
				kill(run->pid, SIGKILL);
				kill(-run->pid, SIGKILL);
			}
			continue;
		}
		next = run->deadline;
		if (run->ended && left && !run->scan && run->look_at < next)
			next = run->look_at;
		if (next > time)
			wait_for_event(run, next - time);
	}
}

/* The last words over a command that nothing ends. */
[[gnu::noreturn]]
static void give_up(const char *id)
{
	/* Where in the kernel its processes sleep. */
	if (in_guest)
		write_text("/proc/sysrq-trigger", "w");
	flush_kernel_log();
	say("stuck %s", id);
	power_off();
}

static void print_output(const struct run *run)
{
	bool begins = true;
	size_t i;

	for (i = 0; i < run->size; i++) {
		char c = run->text[i];

		if (begins)
			fputs("| ", stdout);
		putchar(c ? c : '?');
		begins = c == '\n';
	}
}

static void run_command(const char *id, const char *seconds, char *command)
{
	static struct run run;
	const char *problem;

	run.ended = false;
	run.late = false;
	run.scan = 0;
	run.pause = LOOK_S;
	run.quiet = 0;
	run.truncated = false;
	run.size = 0;
	say("begin %s", id);
	problem = start(&run, seconds, command);
	if (problem) {
		MARK(END);
		run.status = 126;
		run.size = snprintf(run.text, LIMIT, "agent: %s\n", problem);
	} else if (!supervise(&run)) {
		give_up(id);
	}
	print_output(&run);
	say("end %s %d%s%s", id, run.status, run.late ? " timeout" : "",
	    run.truncated ? " truncated" : "");
	flush_kernel_log();
}

/*
 * Reads a line, or as much of it as there is room for, and returns how long it is, or -1 at the
 * end. What has no newline is no line: the rest of it may be missing.
 */
static ssize_t read_line(FILE *feed, char *line, ssize_t size)
{
	ssize_t length = 0;
	int c;

	while ((c = getc(feed)) != '\n') {
		if (c == EOF)
			return -1;
		/* It would end the command; shells drop it as well. */
		if (!c)
			continue;
		if (length < size - 1)
			line[length] = c;
		length++;
	}
	line[length < size ? length : size - 1] = '\0';
	return length;
}

/* Cuts the first word off; it is empty if there is none. */
static char *next_word(char **rest)
{
	char *word = *rest + strspn(*rest, " \t"), *end = word + strcspn(word, " \t");

	*rest = *end ? end + 1 : end;
	*end = '\0';
	return word;
}

static int open_file(const char *path, int flags)
{
	int fd = open(path, flags | O_NOCTTY | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	fprintf(stderr, "agent: %s: %s\n", path, strerror(errno));
	power_off();
}

/* As on a plain pipe: no echo, no translation, no line editing, no signals from characters. */
static void set_up_terminals(void)
{
	struct termios settings;

	if (!tcgetattr(STDIN_FILENO, &settings)) {
		cfmakeraw(&settings);
		settings.c_iflag = 0;
		tcsetattr(STDIN_FILENO, TCSANOW, &settings);
	}
	if (!tcgetattr(fileno(console), &settings)) {
		settings.c_oflag &= ~OPOST;
		tcsetattr(fileno(console), TCSANOW, &settings);
	}
}

static void on_child(int number)
{
	(void)number;
}

static void set_up_processes(void)
{
	struct sigaction action = { .sa_handler = on_child };
	char number[16];

	/* We outlive any shortage of memory; what we run does not (see execute). */
	if (in_guest) {
		write_text("/proc/self/oom_score_adj", "-1000");
		mlockall(MCL_CURRENT | MCL_FUTURE);
	}
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	/* Only wait_for_event() lets it through. */
	sigaction(SIGCHLD, &action, NULL);
	sigaddset(&action.sa_mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &action.sa_mask, NULL);
	signal(SIGPIPE, SIG_IGN);

	snprintf(number, sizeof(number), "%d", getpid());
	setenv("PIBED_RUN", number, 1);
	mark_size = 1 + snprintf(mark + 1, sizeof(mark) - 1, "PIBED_RUN=%s", number) + 1;
	processes = fdopendir(open_file("/proc", O_RDONLY));
}

int main(int argc, char **argv)
{
	const char *source = getenv("PIBED_FEED");
	static char line[LONGEST_LINE], input[4096], output[4096], messages[4096];
	FILE *feed = stdin;
	ssize_t length;

	if (argc != 5 || !parse_seconds(argv[4], &grace)) {
		fputs("usage: agent PLAN CONSOLE LOG GRACE\n", stderr);
		return 2;
	}
	in_guest = getpid() == 1;
	if (source && !strcmp(source, "plan"))
		feed = fdopen(open_file(argv[1], O_RDONLY), "r");
	console = fdopen(open_file(argv[2], O_WRONLY), "w");
	kernel_log = open_file(argv[3], O_RDONLY | O_NONBLOCK);
	setvbuf(feed, input, _IOFBF, sizeof(input));
	setvbuf(stdout, output, _IOFBF, sizeof(output));
	setvbuf(console, messages, _IOFBF, sizeof(messages));
	set_up_terminals();
	set_up_processes();
	flush_kernel_log();
	say("ready");

	while ((length = read_line(feed, line, sizeof(line))) >= 0) {
		char *rest = line, *id = next_word(&rest), *seconds = next_word(&rest);

		if (!strcmp(id, "end"))
			break;
		if (*id)
			run_command(id, seconds, length < (ssize_t)sizeof(line) ? rest : NULL);
	}

	say("done");
	power_off();
}
