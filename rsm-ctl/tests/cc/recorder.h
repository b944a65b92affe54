/* What the programs of this test ask of recorder.c, which is built without rsm-ctl cc. */
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif
void watch(void *start, size_t length);
unsigned long count(void);
#ifdef __cplusplus
}
#endif
