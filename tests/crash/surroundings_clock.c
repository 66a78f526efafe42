/* The wall clock with an offset, preloaded into programs of a storm; surroundings_clock.py steps it.
 *
 * TIDEMILL_STORM_CLOCK names a file of eight bytes: the offset in seconds, in the host's byte order. It is mapped, so a
 * step is seen at once. As with a real step, waits until a point of wall-clock time go by the stepped clock, and those
 * under way do, too (librdkafka's are such): set forward they end, set back they last longer. The monotonic clock is
 * left alone.
 * Relies on glibc 2.30 (pthread_cond_clockwait), whose cnd_t is a pthread_cond_t.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define NANOSECONDS 1000000000L
#define SLICE_NANOSECONDS (NANOSECONDS / 10)
/* A condition may go by the monotonic clock instead, and doesn't tell; no machine has been up for thirty years. */
#define LEAST_WALL_CLOCK_SECONDS 1000000000

static const volatile int64_t *offset_seconds;

__attribute__((constructor)) static void open_offset(void) {
    const char *path = getenv("TIDEMILL_STORM_CLOCK");
    int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    void *mapped = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *offset_seconds, PROT_READ, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED) {
        perror("TIDEMILL_STORM_CLOCK can't be read");
        _exit(125);
    }
    close(file);
    offset_seconds = mapped;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    /* Other constructors may ask for the time before ours has run. */
    if (!failed && offset_seconds && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += *offset_seconds;
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec found;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &found))
        return -1;
    now->tv_sec = found.tv_sec;
    now->tv_usec = found.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec found;
    if (clock_gettime(CLOCK_REALTIME_COARSE, &found))
        return (time_t)-1;
    if (now)
        *now = found.tv_sec;
    return found.tv_sec;
}

int timespec_get(struct timespec *now, int base) {
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, now) == 0 ? base : 0;
}

/* Nanoseconds of the wall clock until then, at most a slice; none where it is past. */
static long left(const struct timespec *then) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (then->tv_sec - now.tv_sec > 1)
        return SLICE_NANOSECONDS;
    if (then->tv_sec < now.tv_sec - 1)
        return 0;
    long nanoseconds = (then->tv_sec - now.tv_sec) * NANOSECONDS + then->tv_nsec - now.tv_nsec;
    return nanoseconds < 0 ? 0 : nanoseconds < SLICE_NANOSECONDS ? nanoseconds : SLICE_NANOSECONDS;
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict then) {
    if (then->tv_sec < LEAST_WALL_CLOCK_SECONDS)
        return pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, then);
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += left(then);
    end.tv_sec += end.tv_nsec / NANOSECONDS;
    end.tv_nsec %= NANOSECONDS;
    int result = pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, &end);
    /* After a slice it returns as if woken without a cause, which every caller must expect (POSIX). Waiting on in here
     * would miss a signal that came between two slices. */
    return result == ETIMEDOUT && left(then) > 0 ? 0 : result;
}

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict then) {
    int result = pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, then);
    return result == 0 ? thrd_success : result == ETIMEDOUT ? thrd_timedout : thrd_error;
}
