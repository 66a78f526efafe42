/* The wall clock with an offset, preloaded into programs of a storm; surroundings_clock.py steps it.
 *
 * TIDEMILL_STORM_CLOCK names a file of eight bytes: the offset in seconds, of the host's byte order. It is mapped, so that a
 * step is seen at once. Left alone are the monotonic clock, and timespec_get(3): its users (librdkafka) give what it says
 * to pthread_cond_timedwait(3), which goes by the real clock.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

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
