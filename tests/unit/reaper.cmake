foreach(name judge lru)
    berth_test(NAME test_${name} LABEL unit SOURCES test_${name}.c USES berth_reaper)
endforeach()
