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

enum { CURRENT_DIRECTORY = -100, WRITE_ONLY = 1, NONBLOCK = 04000, CLOSE_ON_EXEC = 02000000 };
enum { MONOTONIC = 1, BLOCK = 0, SET_MASK = 2, HANGUP = 1, PARENT_DEATH_SIGNAL = 1 };

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

void begin(long *stack) {
	long count = stack[0];
	char **arguments = (char **)(stack + 1), **environment = arguments + count + 1;
	u64 none = 0;

	switch (count < 2 ? 0 : arguments[1][1]) {
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
