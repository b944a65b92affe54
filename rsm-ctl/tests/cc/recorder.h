/* What the programs of this test ask of recorder.c, which is built without rsm-ctl cc. */
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif
void watch(void *start, size_t length);
/* When it is told next that something is about to be written there, this is stored there first. */
void disturb(void *word, unsigned long value);
unsigned long count(void);
#ifdef __cplusplus
}
#endif
