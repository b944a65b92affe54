/* Manual pages name this file; what they mean is <rsmapi.h>. */
#ifndef _RSM_RSMPAI_H
#define _RSM_RSMPAI_H

#include <rsmapi.h>

#endif /* _RSM_RSMPAI_H */
