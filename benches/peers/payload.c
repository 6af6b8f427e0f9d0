/*
 * What the bench runs besides the programs that it measures: the services, and a few tools. Static and without a C
 * library, so that what it costs is next to nothing, and the same under every supervisor.
 *
 * Built as a service (the default) it takes the time, announces itself, and announces each HUP. With READY it also
 * writes a newline to descriptor 3, for supervisors that wait for that. Built as TOOL it is
 *
 *   tool true                         nothing at all
 *   tool launch SIGNAL NAME PROG ...  announces a start and becomes PROG, which gets SIGNAL if the bench is killed
 *   tool lines BYTES CHUNK            writes so many bytes, in lines of 100, so many bytes a call
 *
 * and the floor, which is the least that a suite can cost: it starts, waits and tells, and does nothing else.
 *
 *   tool scan DIRECTORY               starts `tool supervise NAME` for each entry, and for new ones; ends them at TERM
 *   tool supervise DIRECTORY          starts ./run again and again, and sends it HUP for each `h` in ./control
 *   tool become UID GID PROG ...      becomes somebody, then PROG
 *   tool keep FILE                    writes what it reads to a file, which begins anew after 10 MB
 *
 * An announcement is 64 bytes in the FIFO whose path is compiled in (ANNOUNCE): nanoseconds of CLOCK_MONOTONIC (u64),
 * pid (u32), what happened (u32: 'L' launched, 'S' started, 'H' got HUP), name (48 bytes, zeros at its end).
 */
#include <asm/unistd.h>

typedef unsigned long long u64;
typedef unsigned int u32;

static inline __attribute__((always_inline)) long call(long number, long a, long b, long c, long d) {
#if defined(__x86_64__)
	long result;
	register long fourth __asm__("r10") = d;
	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth)
		: "rcx", "r11", "memory");
	return result;
#elif defined(__aarch64__)
	register long which __asm__("x8") = number;
	register long first __asm__("x0") = a;
	register long second __asm__("x1") = b;
	register long third __asm__("x2") = c;
	register long fourth __asm__("x3") = d;
	__asm__ volatile("svc #0" : "+r"(first) : "r"(which), "r"(second), "r"(third), "r"(fourth) : "memory");
	return first;
#else
#error "the system calls of this machine are not known here"
#endif
}
#define CALL(name, a, b, c, d) call(__NR_##name, (long)(a), (long)(b), (long)(c), (long)(d))

#if defined(__x86_64__)
__asm__(".text\n.globl _start\n_start:\n\txorl %ebp, %ebp\n\tmovq %rsp, %rdi\n\tandq $-16, %rsp\n\tcall begin\n\tud2\n");
#else
__asm__(".text\n.globl _start\n_start:\n\tmov x29, xzr\n\tmov x0, sp\n\tbl begin\n");
#endif

enum { CURRENT_DIRECTORY = -100, WRITE_ONLY = 1, READ_WRITE = 2, CREATE = 0100, NONBLOCK = 04000 };
enum { CLOSE_ON_EXEC = 02000000, FIFO = 010000, ENTRY_CREATED = 0x100 };
enum { MONOTONIC = 1, BLOCK = 0, SET_MASK = 2, PARENT_DEATH_SIGNAL = 1, WITHOUT_WAITING = 1 };
enum { HANGUP = 1, TERMINATE = 15, CHILD_DIED = 17, SHARE_MEMORY = 0x100, PARENT_WAITS = 0x4000 };

static u64 now(void) {
	long time[2] = { 0, 0 };
	CALL(clock_gettime, MONOTONIC, time, 0, 0);
	return (u64)time[0] * 1000000000u + (u64)time[1];
}

static void announce(int fifo, u32 what, u64 time, const char *name) {
	static struct { u64 time; u32 pid, what; char name[48]; } message;
	message.time = time;
	message.pid = (u32)CALL(getpid, 0, 0, 0, 0);
	message.what = what;
	for (int i = 0; i < 47 && name[i]; i++)
		message.name[i] = name[i];
	CALL(write, fifo, &message, sizeof message, 0);
}

static int open_fifo(void) {
	return (int)CALL(openat, CURRENT_DIRECTORY, ANNOUNCE, WRITE_ONLY | NONBLOCK | CLOSE_ON_EXEC, 0);
}

#ifndef TOOL

void begin(void) {
	static char directory[4096];
	u64 started = now(), hangup = 1 << (HANGUP - 1);
	char *name = directory;
	int fifo;

	CALL(rt_sigprocmask, BLOCK, &hangup, 0, 8);
	fifo = open_fifo();
	CALL(getcwd, directory, sizeof directory, 0, 0);
	for (char *at = directory; *at; at++)
		if (*at == '/')
			name = at + 1;
	announce(fifo, 'S', started, name);
#ifdef READY
	CALL(write, 3, "\n", 1, 0);
	CALL(close, 3, 0, 0, 0);
#endif
	for (;;)
		if (CALL(rt_sigtimedwait, &hangup, 0, 0, 8) == HANGUP)
			announce(fifo, 'H', now(), name);
}

#else

static char lines[65536];

static void leave(int code) {
	for (;;)
		CALL(exit_group, code, 0, 0, 0);
}

static u64 number(const char *digits) {
	u64 value = 0;
	while (*digits)
		value = value * 10 + (u64)(*digits++ - '0');
	return value;
}

static void write_lines(u64 bytes, u64 chunk) {
	/* Whole lines in each call. */
	chunk -= chunk % 100;
	for (u64 i = 0; i < chunk; i++)
		lines[i] = i % 100 == 99 ? '\n' : (char)('a' + i % 100 % 26);
	for (; bytes >= chunk; bytes -= chunk)
		for (u64 done = 0; done < chunk;) {
			long written = CALL(write, 1, lines + done, chunk - done, 0);
			if (written <= 0)
				leave(1);
			done += (u64)written;
		}
}

static void keep(const char *file) {
	static char block[65536];
	long count;
	int fd = (int)CALL(openat, CURRENT_DIRECTORY, file, WRITE_ONLY | CREATE, 0644);
	u64 size = 0;

	while ((count = CALL(read, 0, block, sizeof block, 0)) > 0) {
		CALL(write, fd, block, count, 0);
		size += (u64)count;
		if (size > 10000000) {
			CALL(ftruncate, fd, 0, 0, 0);
			CALL(lseek, fd, 0, 0, 0);
			size = 0;
		}
	}
}

/* Its memory is the parent's until it executes the program, so it has a frame of its own. */
static __attribute__((noinline)) long start(const char *program, char **arguments, char **environment) {
	u64 none = 0;
	long pid = CALL(clone, SHARE_MEMORY | PARENT_WAITS | CHILD_DIED, 0, 0, 0);
	if (pid == 0) {
		CALL(rt_sigprocmask, SET_MASK, &none, 0, 8);
		CALL(execve, program, arguments, environment, 0);
		leave(111);
	}
	return pid;
}

struct wanted { int fd; short events, found; };

/* A descriptor that is readable when TERM or SIGCHLD has come. */
static int signals(void) {
	u64 set = 1 << (TERMINATE - 1) | 1 << (CHILD_DIED - 1);
	CALL(rt_sigprocmask, SET_MASK, &set, 0, 8);
	return (int)CALL(signalfd4, -1, &set, 8, CLOSE_ON_EXEC | NONBLOCK);
}

static void supervise(const char *directory, char **environment) {
	char *run[] = { "./run", 0 }, bytes[64];
	struct wanted wanted[2] = { { .events = 1 }, { .events = 1 } };
	static u32 received[32]; /* a signalfd_siginfo begins with the signal's number */
	int is_over = 0;

	if (CALL(chdir, directory, 0, 0, 0))
		leave(111);
	CALL(mknodat, CURRENT_DIRECTORY, "control", FIFO | 0600, 0);
	wanted[0].fd = (int)CALL(openat, CURRENT_DIRECTORY, "control", READ_WRITE | NONBLOCK | CLOSE_ON_EXEC, 0);
	wanted[1].fd = signals();
	while (!is_over) {
		long pid = start("./run", run, environment);
		for (int is_up = 1; is_up;) {
			CALL(ppoll, wanted, 2, 0, 0);
			if (wanted[0].found & 1) {
				long count = CALL(read, wanted[0].fd, bytes, sizeof bytes, 0);
				for (long i = 0; i < count; i++)
					if (bytes[i] == 'h')
						CALL(kill, pid, HANGUP, 0, 0);
			}
			while (CALL(read, wanted[1].fd, received, sizeof received, 0) > 0)
				if (received[0] == TERMINATE) {
					is_over = 1;
					CALL(kill, pid, TERMINATE, 0, 0);
				}
			is_up = CALL(wait4, pid, 0, WITHOUT_WAITING, 0) != pid;
		}
	}
}

static long supervisors[8192];
static int supervisor_count;

static void add(char *name, char *self, char **environment) {
	char *words[] = { self, "supervise", name, 0 };
	if (name[0] != '.' && supervisor_count < 8192)
		supervisors[supervisor_count++] = start(self, words, environment);
}

static void scan(const char *directory, char *self, char **environment) {
	static char entries[8192] __attribute__((aligned(8)));
	struct wanted wanted[2] = { { .events = 1 }, { .events = 1 } };
	static u32 received[32];
	long count;
	int here;

	if (CALL(chdir, directory, 0, 0, 0))
		leave(111);
	wanted[0].fd = (int)CALL(inotify_init1, CLOSE_ON_EXEC | NONBLOCK, 0, 0, 0);
	CALL(inotify_add_watch, wanted[0].fd, ".", ENTRY_CREATED, 0);
	wanted[1].fd = signals();
	here = (int)CALL(openat, CURRENT_DIRECTORY, ".", CLOSE_ON_EXEC, 0);
	/* linux_dirent64: 8 + 8 bytes, length (u16), type (u8), name */
	while ((count = CALL(getdents64, here, entries, sizeof entries, 0)) > 0)
		for (long at = 0; at < count; at += *(unsigned short *)(entries + at + 16))
			add(entries + at + 19, self, environment);
	CALL(close, here, 0, 0, 0);
	for (;;) {
		CALL(ppoll, wanted, 2, 0, 0);
		/* inotify_event: 12 bytes, length of the name (u32), name */
		while ((count = CALL(read, wanted[0].fd, entries, sizeof entries, 0)) > 0)
			for (long at = 0; at < count; at += 16 + *(u32 *)(entries + at + 12))
				add(entries + at + 16, self, environment);
		while (CALL(read, wanted[1].fd, received, sizeof received, 0) > 0)
			if (received[0] == TERMINATE) {
				for (int i = 0; i < supervisor_count; i++)
					CALL(kill, supervisors[i], TERMINATE, 0, 0);
				while (CALL(wait4, -1, 0, 0, 0) > 0)
					;
				leave(0);
			}
	}
}

void begin(long *stack) {
	long count = stack[0];
	char **arguments = (char **)(stack + 1), **environment = arguments + count + 1;
	u64 none = 0;

	switch (count < 2 ? 0 : arguments[1][1]) {
	case 'u': /* supervise */
		supervise(arguments[2], environment);
		leave(0);
		break;
	case 'c': /* scan */
		scan(arguments[2], arguments[0], environment);
		break;
	case 'e': /* become, keep */
		if (arguments[1][0] == 'k') {
			keep(arguments[2]);
			leave(0);
		}
		if (CALL(setgroups, 0, 0, 0, 0) || CALL(setgid, number(arguments[3]), 0, 0, 0) ||
			CALL(setuid, number(arguments[2]), 0, 0, 0))
			leave(111);
		CALL(execve, arguments[4], arguments + 4, environment, 0);
		leave(111);
		break;
	case 'r': /* true */
		leave(0);
		break;
	case 'i': /* lines */
		write_lines(number(arguments[2]), number(arguments[3]));
		leave(0);
		break;
	case 'a': /* launch */
		CALL(prctl, PARENT_DEATH_SIGNAL, number(arguments[2]), 0, 0);
		CALL(setsid, 0, 0, 0, 0);
		CALL(rt_sigprocmask, SET_MASK, &none, 0, 8);
		announce(open_fifo(), 'L', now(), arguments[3]);
		CALL(execve, arguments[4], arguments + 4, environment, 0);
		leave(111);
	}
	leave(100);
}

#endif
