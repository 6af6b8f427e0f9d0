/*
 * Every program of a service at once, quick to start, and a witness: each tells its line twice, to standard output,
 * which the log service reads, and then in the file "written". Two that must not run together share a lock; whoever
 * cannot have it says so in the file "twice".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static void append(const char *file, const char *bytes, size_t length)
{
	int fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, bytes, length) != (ssize_t)length)
		_exit(9);
	close(fd);
}

static void be_alone(void)
{
	int fd = open("only", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB))
		return;
	append("twice", "twice\n", 6);
	_exit(9);
}

static void end(int number)
{
	(void)number;
}

/* Copies standard input into the file "lines", to its end or until TERM. Nothing that was read is lost. */
static int keep_log(void)
{
	sigset_t term, none;
	sigemptyset(&none);
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	signal(SIGTERM, end);
	be_alone();
	for (;;) {
		struct pollfd input = {.fd = 0, .events = POLLIN};
		if (ppoll(&input, 1, NULL, &none) < 0)
			return errno != EINTR;
		char bytes[4096];
		ssize_t length = read(0, bytes, sizeof bytes);
		if (length <= 0)
			return length < 0;
		append("lines", bytes, (size_t)length);
	}
}

int main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/'), *name = slash ? slash + 1 : argv[0];
	int is_service = !strcmp(name, "run");
	if (is_service && !access("../run", F_OK))
		return keep_log();
	if (is_service || !strcmp(name, "finish"))
		be_alone();
	sigset_t all, none;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &none); /* until it has told its line twice */
	char line[64];
	int length = snprintf(line, sizeof line, "%s %d\n", name, getpid());
	if (argc < 1 || write(1, line, (size_t)length) != length)
		return 9;
	append("written", line, (size_t)length);
	sigprocmask(SIG_SETMASK, &none, NULL);
	while (is_service)
		pause();
	return strcmp(name, "finish") != 0;
}
