/*
 * A library to preload: fails system calls of one program, as a file says, so that a test can walk through them.
 *
 * The environment names the file in FAULTS and the program in FAULTY. The file is a `struct faults`, shared with the
 * test while the program runs. Both variables and LD_PRELOAD go before main: what the program starts runs as always.
 * What a new process does before its exec counts, as it shares its parent's memory. Memory that the program itself
 * asks for is failed only by its name, "malloc", and only after the first process was made.
 *
 * With a speed the program's clock for delays runs so many times faster, and its waits are so much shorter.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

enum { NAME = 24, TOLD = 8192, KILLED = 0x7fffffff, NEW_KILLED = 0x7ffffffe };

struct faults {
	uint32_t first;        /* the first call that fails, counted from 1; 0 for none */
	uint32_t every;        /* and every so many after it; 0 for no other */
	uint32_t choice;       /* which of the errors that a call may have, if `error` is 0 */
	uint32_t error;        /* the error; KILLED to be killed at this call instead, NEW_KILLED for a new process alone */
	uint32_t speed;        /* how many times faster time goes; 0 as ever */
	uint32_t calls;        /* out: calls so far */
	uint32_t failures;     /* out: of which failed */
	uint32_t processes;    /* out: processes made */
	uint32_t refused;      /* out: signals that were not sent */
	uint32_t live;         /* out: bytes of memory that were asked for and not given back, whenever it counts */
	char only[NAME];       /* only calls of this name count; empty for all */
	char failed[NAME];     /* out: the name of the last that failed */
	char told[TOLD][NAME]; /* out: the names of the first calls */
};

static struct faults *faults;
static struct timespec start;
static pid_t own;

/* Whether this call fails; errno says how. */
static int fails(const char *name, const int *errors, uint32_t count)
{
	struct faults *to = faults;
	if (!to || (to->only[0] ? strcmp(to->only, name) : !strcmp("malloc", name)))
		return 0;
	if (to->error == NEW_KILLED && syscall(SYS_getpid) == own)
		return 0;
	uint32_t number = ++to->calls;
	if (number <= TOLD)
		strncpy(to->told[number - 1], name, NAME - 1);
	if (!to->first || number < to->first || (to->every ? (number - to->first) % to->every : number != to->first))
		return 0;
	uint32_t choice = to->choice + to->failures++;
	to->refused += !strcmp(name, "pidfd_send_signal");
	strncpy(to->failed, name, NAME - 1);
	if (to->error == KILLED) {
		/* Also while a new process that has its memory makes the call: that goes on. */
		syscall(SYS_kill, own, SIGKILL);
		return 0;
	}
	if (to->error == NEW_KILLED) {
		syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
		return 0;
	}
	errno = to->error ? (int)to->error : errors[choice % count];
	return 1;
}

#define FAILS(name, ...) fails(name, (const int[]){__VA_ARGS__}, sizeof((int[]){__VA_ARGS__}) / sizeof(int))

/* The function of the C library by the name of this one. */
#define REAL(function)                                                     \
	static __typeof__(function) *real;                                  \
	if (!real)                                                          \
		*(void **)&real = dlsym(RTLD_NEXT, #function)

#define FAULTY(result, function, parameters, arguments, ...)                \
	result function parameters;                                         \
	result function parameters                                          \
	{                                                                   \
		REAL(function);                                             \
		return FAILS(#function, __VA_ARGS__) ? -1 : real arguments; \
	}

/* Not what depends on the file, such as EACCES: that is told when it changes. */
#define PLACE EIO, ENOMEM
#define ROOM ENOSPC, EDQUOT, EROFS, PLACE

FAULTY(int, chdir, (const char *path), (path), PLACE)
FAULTY(int, fchdir, (int fd), (fd), EIO, EACCES)
FAULTY(int, dup, (int fd), (fd), EMFILE)
FAULTY(int, dup2, (int fd, int to), (fd, to), EMFILE, EBUSY, EINTR)
FAULTY(int, epoll_create1, (int flags), (flags), EMFILE, ENFILE, ENOMEM)
FAULTY(int, epoll_ctl, (int fd, int what, int of, struct epoll_event *event), (fd, what, of, event), ENOMEM, ENOSPC)
FAULTY(int, execv, (const char *path, char *const argv[]), (path, argv), ENOMEM, EACCES, EIO, ENFILE, E2BIG)
FAULTY(int, flock, (int fd, int what), (fd, what), ENOLCK, EINTR, EIO)
FAULTY(int, fstat, (int fd, struct stat *found), (fd, found), EIO, ENOMEM)
FAULTY(int, fstat64, (int fd, struct stat64 *found), (fd, found), EIO, ENOMEM)
FAULTY(int, fstatat64, (int at, const char *path, struct stat64 *found, int flags), (at, path, found, flags), PLACE)
FAULTY(int, fstatfs64, (int fd, struct statfs64 *found), (fd, found), EIO, ENOSYS)
FAULTY(int, statfs64, (const char *path, struct statfs64 *found), (path, found), EIO, ENOSYS)
FAULTY(int, inotify_init1, (int flags), (flags), EMFILE, ENOMEM)
FAULTY(int, inotify_add_watch, (int fd, const char *path, uint32_t what), (fd, path, what), ENOSPC, ENOMEM, EACCES)
FAULTY(int, inotify_rm_watch, (int fd, int watch), (fd, watch), EINVAL)
FAULTY(int, mkdir, (const char *path, mode_t mode), (path, mode), ROOM)
FAULTY(int, mkfifo, (const char *path, mode_t mode), (path, mode), ROOM)
FAULTY(int, mprotect, (void *at, size_t length, int how), (at, length, how), ENOMEM)
FAULTY(int, munmap, (void *at, size_t length), (at, length), ENOMEM)
FAULTY(int, pipe2, (int ends[2], int flags), (ends, flags), EMFILE, ENFILE)
FAULTY(int, poll, (struct pollfd *of, nfds_t count, int timeout), (of, count, timeout), ENOMEM, EINTR)
FAULTY(int, rename, (const char *from, const char *to), (from, to), ROOM)
FAULTY(int, setsid, (void), (), EPERM)
FAULTY(int, sigaction, (int number, const struct sigaction *now, struct sigaction *before), (number, now, before), EINVAL)
FAULTY(int, sigaltstack, (const stack_t *now, stack_t *before), (now, before), ENOMEM)
FAULTY(int, signalfd, (int fd, const sigset_t *of, int flags), (fd, of, flags), EMFILE, ENFILE, ENOMEM)
FAULTY(int, sigprocmask, (int how, const sigset_t *now, sigset_t *before), (how, now, before), EINVAL)
FAULTY(int, stat64, (const char *path, struct stat64 *found), (path, found), PLACE)
FAULTY(int, statx, (int at, const char *path, int flags, unsigned mask, struct statx *found), (at, path, flags, mask, found), PLACE)
FAULTY(int, unlink, (const char *path), (path), ROOM)
FAULTY(ssize_t, pread64, (int fd, void *to, size_t length, off64_t at), (fd, to, length, at), EIO, EINTR)
FAULTY(ssize_t, pwrite64, (int fd, const void *from, size_t length, off64_t at), (fd, from, length, at), ENOSPC, EIO, EDQUOT, EINTR)
FAULTY(ssize_t, read, (int fd, void *to, size_t length), (fd, to, length), EIO, EINTR, ENOMEM)
FAULTY(ssize_t, readlink, (const char *path, char *to, size_t length), (path, to, length), PLACE)
FAULTY(ssize_t, write, (int fd, const void *from, size_t length), (fd, from, length), ENOSPC, EIO, EDQUOT, EINTR, EPIPE)

/* Not ECHILD, which is no failure: there are no children. */
FAULTY(pid_t, waitpid, (pid_t pid, int *status, int flags), (pid, status, flags), EINTR, EIO)

typedef void (*handler)(int);
handler signal(int number, handler what)
{
	REAL(signal);
	return FAILS("signal", EINVAL) ? SIG_ERR : real(number, what);
}

/* Linux closes it all the same. */
int close(int fd)
{
	REAL(close);
	int result = real(fd);
	return FAILS("close", EIO, EINTR, ENOSPC) ? -1 : result;
}

int open64(const char *path, int flags, ...)
{
	REAL(open64);
	va_list rest;
	va_start(rest, flags);
	mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
	va_end(rest);
	return FAILS("open64", EMFILE, ENFILE, ROOM, EINTR) ? -1 : real(path, flags, mode);
}

int openat(int at, const char *path, int flags, ...)
{
	REAL(openat);
	va_list rest;
	va_start(rest, flags);
	mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
	va_end(rest);
	return FAILS("openat", EMFILE, ENFILE, ROOM, EINTR) ? -1 : real(at, path, flags, mode);
}

int fcntl(int fd, int what, ...)
{
	REAL(fcntl);
	va_list rest;
	va_start(rest, what);
	void *with = va_arg(rest, void *);
	va_end(rest);
	return FAILS("fcntl", EINVAL, EMFILE) ? -1 : real(fd, what, with);
}

void *mmap64(void *at, size_t length, int how, int flags, int fd, off64_t from)
{
	REAL(mmap64);
	return FAILS("mmap", ENOMEM, EAGAIN) ? MAP_FAILED : real(at, length, how, flags, fd, from);
}

void *mmap(void *at, size_t length, int how, int flags, int fd, off_t from)
{
	return mmap64(at, length, how, flags, fd, from);
}

int clone(int (*born)(void *), void *stack, int flags, void *with, ...)
{
	REAL(clone);
	va_list rest;
	va_start(rest, with);
	void *a = va_arg(rest, void *), *b = va_arg(rest, void *), *c = va_arg(rest, void *);
	va_end(rest);
	if (FAILS("clone", EAGAIN, ENOMEM, EMFILE, ENFILE))
		return -1;
	if (faults)
		faults->processes++;
	return real(born, stack, flags, with, a, b, c);
}

long syscall(long number, ...)
{
	REAL(syscall);
	va_list rest;
	va_start(rest, number);
	long a[6];
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(rest, long);
	va_end(rest);
	if ((number == SYS_pidfd_open && FAILS("pidfd_open", EMFILE, ENFILE, ENOMEM)) ||
	    (number == SYS_pidfd_send_signal && FAILS("pidfd_send_signal", EPERM)) ||
	    (number == SYS_close_range && FAILS("close_range", ENOSYS)))
		return -1;
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* A question whether there is such a process is no signal that was refused: what was told is not to be told again. */
int kill(pid_t pid, int number)
{
	REAL(kill);
	if (FAILS("kill", EPERM)) {
		faults->refused += number != 0;
		return -1;
	}
	return real(pid, number);
}

int epoll_wait(int fd, struct epoll_event *events, int count, int timeout)
{
	REAL(epoll_wait);
	if (FAILS("epoll_wait", EINTR, ENOMEM))
		return -1;
	int speed = faults && faults->speed ? (int)faults->speed : 1;
	return real(fd, events, count, timeout > 0 ? (timeout + speed - 1) / speed : timeout);
}

int ppoll(struct pollfd *of, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
	REAL(ppoll);
	if (FAILS("ppoll", ENOMEM, EINTR))
		return -1;
	int speed = faults && faults->speed ? (int)faults->speed : 1;
	struct timespec sooner;
	if (timeout && speed > 1) {
		int64_t wait = (timeout->tv_sec * INT64_C(1000000000) + timeout->tv_nsec + speed - 1) / speed;
		sooner.tv_sec = wait / INT64_C(1000000000);
		sooner.tv_nsec = wait % INT64_C(1000000000);
		timeout = &sooner;
	}
	return real(of, count, timeout, mask);
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
	REAL(clock_gettime);
	int result = real(clock, time);
	if (!faults || !faults->speed || clock != CLOCK_MONOTONIC)
		return result;
	int64_t passed = (time->tv_sec - start.tv_sec) * INT64_C(1000000000) + time->tv_nsec - start.tv_nsec;
	passed *= faults->speed;
	time->tv_sec = start.tv_sec + passed / INT64_C(1000000000);
	time->tv_nsec = passed % INT64_C(1000000000);
	return result;
}

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void __libc_free(void *);

static int is_poor(void)
{
	return faults && faults->processes && FAILS("malloc", ENOMEM);
}

static void *counted(void *memory)
{
	if (faults)
		faults->live += malloc_usable_size(memory);
	return memory;
}

void *malloc(size_t size)
{
	return is_poor() ? NULL : counted(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
	return is_poor() ? NULL : counted(__libc_calloc(count, size));
}

void *realloc(void *old, size_t size)
{
	if (is_poor())
		return NULL;
	size_t before = malloc_usable_size(old);
	void *memory = counted(__libc_realloc(old, size));
	if (faults && memory)
		faults->live -= before;
	return memory;
}

int posix_memalign(void **memory, size_t align, size_t size)
{
	if (is_poor())
		return ENOMEM;
	*memory = counted(__libc_memalign(align, size));
	return *memory ? 0 : ENOMEM;
}

void free(void *memory)
{
	if (faults)
		faults->live -= malloc_usable_size(memory);
	__libc_free(memory);
}

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("FAULTS"), *name = getenv("FAULTY");
	if (path && name && !strcmp(name, program_invocation_short_name)) {
		int fd = open(path, O_RDWR | O_CLOEXEC);
		void *shared = mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		close(fd);
		if (shared == MAP_FAILED)
			abort();
		clock_gettime(CLOCK_MONOTONIC, &start);
		own = getpid();
		faults = shared;
	}
	unsetenv("LD_PRELOAD");
	unsetenv("FAULTS");
	unsetenv("FAULTY");
}
