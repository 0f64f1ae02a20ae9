berth_test(NAME test_judge LABEL unit SOURCES test_judge.c USES berth_reaper)
