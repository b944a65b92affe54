//! Functions whose calls the linker leads to librsm_race.

/// Those that copy: the compiler leaves them calls.
pub(super) const COPIES: [&str; 4] = ["memcpy", "memmove", "memset", "memcmp"];

/// The same with a check of the target's size, as `_FORTIFY_SOURCE` has them called.
pub(super) const CHECKED: [&str; 3] = ["__memcpy_chk", "__memmove_chk", "__memset_chk"];

/// With `--threads`: those that create threads, and by which threads may tell each other something: as `rsm-race-cc/src/thread.rs` and `object.rs`
/// have them. Words.
pub(super) const THREADS: &str = "\
    __fgets_chk __fprintf_chk __fread_chk __isoc23_fscanf __isoc99_fscanf __poll_chk __ppoll_chk __pread64_chk \
    __pread_chk __read_chk __recv_chk __recvfrom_chk __vfprintf_chk accept accept4 aio_error aio_return aio_suspend \
    call_once clone close cnd_broadcast cnd_signal cnd_timedwait cnd_wait connect dlmopen dlopen dlsym dlvsym \
    epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd_read eventfd_write fclose fcntl fcntl64 fflush fgetc \
    fgets fgetwc fgetws flock flockfile fprintf fputc fputs fputwc fputws fread fscanf ftrylockfile funlockfile fwrite getaddrinfo_a getc \
    getdelim getline getwc kill lockf lockf64 mq_notify mq_receive mq_send mq_timedreceive mq_timedsend msgrcv msgsnd \
    mtx_lock mtx_timedlock mtx_trylock mtx_unlock pause poll ppoll pread pread64 preadv preadv64 pselect \
    pthread_barrier_wait pthread_cancel pthread_clockjoin_np pthread_cond_broadcast pthread_cond_clockwait \
    pthread_cond_signal pthread_cond_timedwait pthread_cond_wait pthread_create pthread_join pthread_kill \
    pthread_mutex_clocklock pthread_mutex_lock pthread_mutex_timedlock pthread_mutex_trylock pthread_mutex_unlock \
    pthread_once pthread_rwlock_clockrdlock pthread_rwlock_clockwrlock pthread_rwlock_rdlock \
    pthread_rwlock_timedrdlock pthread_rwlock_timedwrlock pthread_rwlock_tryrdlock pthread_rwlock_trywrlock \
    pthread_rwlock_unlock pthread_rwlock_wrlock pthread_sigqueue pthread_spin_lock pthread_spin_trylock \
    pthread_spin_unlock pthread_timedjoin_np pthread_tryjoin_np putc putwc pwrite pwrite64 pwritev pwritev64 raise read \
    readv recv recvfrom recvmmsg recvmsg select sem_clockwait sem_post sem_timedwait sem_trywait sem_wait semop \
    semtimedop send sendfile sendfile64 sendmmsg sendmsg sendto shutdown sigqueue sigsuspend sigtimedwait sigwait \
    sigwaitinfo splice syscall tee tgkill thrd_create timer_create timerfd_settime vfprintf vmsplice wait waitid \
    waitpid write writev";

/// With `--threads`, of libstdc++ (`rsm-race-cc/src/cxx.rs`). Words.
pub(super) const CXX: &str = "\
    __cxa_end_catch __cxa_guard_abort __cxa_guard_acquire __cxa_guard_release _ZN9__gnu_cxx12__atomic_addEPVii \
    _ZN9__gnu_cxx18__exchange_and_addEPVii _ZNSt11logic_errorD0Ev _ZNSt11logic_errorD1Ev _ZNSt11logic_errorD2Ev \
    _ZNSt11logic_erroraSEOS_ _ZNSt11logic_erroraSERKS_ _ZNSt13__future_base12_Result_baseD0Ev \
    _ZNSt13__future_base12_Result_baseD1Ev _ZNSt13__future_base12_Result_baseD2Ev \
    _ZNSt13__future_base13_State_baseV211_Make_ready6_M_setEv _ZNSt13runtime_errorD0Ev _ZNSt13runtime_errorD1Ev \
    _ZNSt13runtime_errorD2Ev _ZNSt13runtime_erroraSEOS_ _ZNSt13runtime_erroraSERKS_ \
    _ZNSt15__exception_ptr13exception_ptr10_M_releaseEv _ZNSt15__exception_ptr13exception_ptrD1Ev \
    _ZNSt15__exception_ptr13exception_ptrD2Ev _ZNSt15__exception_ptr13exception_ptraSERKS0_ \
    _ZNSt16nested_exceptionD0Ev _ZNSt16nested_exceptionD1Ev _ZNSt16nested_exceptionD2Ev \
    _ZNSt3pmr20set_default_resourceEPNS_15memory_resourceE \
    _ZNSt6chrono11reload_tzdbEv _ZNSt6locale5_Impl16_M_install_facetEPKNS_2idEPKNS_5facetE \
    _ZNSt6locale5_Impl16_M_replace_facetEPKS0_PKNS_2idE _ZNSt8ios_base6xallocEv _ZSt13set_terminatePFvvE \
    _ZSt14set_unexpectedPFvvE _ZSt15set_new_handlerPFvvE";

/// What the linker is told of one.
pub(super) fn option(name: &str) -> String {
    format!("-Wl,--wrap={name}")
}
