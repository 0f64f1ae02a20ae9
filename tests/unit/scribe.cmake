foreach(subject pack source feed)
    berth_test(NAME test_${subject} LABEL unit SOURCES test_${subject}.c USES berth_scribe PkgConfig::SODIUM)
endforeach()
